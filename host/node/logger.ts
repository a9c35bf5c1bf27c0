/** The log of a node: one JSON object a line on standard output. Fields that could ever hold a secret are cut out by name, whoever logs them. */
import pino from 'pino';

const SECRET_FIELDS = [
  'x',
  's',
  'p',
  'q',
  'lambda',
  'k',
  'chi',
  'share',
  'opening',
  'nonce',
  'passphrase',
  'token',
  'secret',
  'key',
  'authorization',
];

export function createLogger(node: string, level: 'debug' | 'info' | 'warn' | 'error'): pino.Logger {
  return pino({
    level,
    base: { node },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: { paths: SECRET_FIELDS.flatMap((field) => [field, `*.${field}`]), censor: '[redacted]' },
    // Errors are logged by message: a stack or a cause may quote what it was given.
    serializers: { error: (error: unknown) => (error instanceof Error ? error.message : error) },
  });
}
