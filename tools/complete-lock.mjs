// Adds lock entries for optional packages of other platforms that a registry mirror did not offer when the lock was made:
// without them `npm ci` calls the lock file out of step with package.json. Run after every `npm install`.
import { readFileSync, writeFileSync } from 'node:fs';

const file = 'package-lock.json';
const lock = JSON.parse(readFileSync(file, 'utf8'));
const find = (name, list) => list.find((word) => new RegExp(`[-/]${word}(-|$)`).test(name));

/** `os`, `cpu` and `libc` of a platform package, read off its name, so that npm never tries to install it elsewhere. */
function platform(name) {
  const os = find(name, ['darwin', 'win32', 'linux', 'android', 'freebsd', 'openbsd', 'netbsd', 'aix', 'sunos', 'openharmony']);
  const cpu = find(name, ['arm64', 'x64', 'ia32', 'ppc64', 's390x', 'riscv64', 'loong64', 'mips64el', 'arm']);
  const libc = /musl/.test(name) ? 'musl' : /-(gnu|glibc)/.test(name) ? 'glibc' : undefined;
  return { ...(cpu && { cpu: [cpu] }), ...(os && { os: [os] }), ...(libc && { libc: [libc] }) };
}

/** Every place where npm would look for `name` when required from `path`. */
const places = (path, name) => {
  const steps = path.split('/node_modules/');
  return ['', ...steps.map((_, i) => `${steps.slice(0, i + 1).join('/node_modules/')}/`)].map((prefix) => `${prefix}node_modules/${name}`);
};

let added = 0;
for (const [path, entry] of Object.entries(lock.packages)) {
  for (const [name, range] of Object.entries(entry.optionalDependencies ?? {})) {
    if (places(path, name).some((place) => lock.packages[place])) continue;
    if (!/^[\^~]?\d/.test(range)) continue;
    lock.packages[`node_modules/${name}`] = {
      version: range.replace(/^[\^~]/, ''),
      ...platform(name),
      ...(entry.dev && { dev: true }),
      optional: true,
    };
    added++;
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
console.error(`complete-lock: ${added} entries added`);
