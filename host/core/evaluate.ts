/**
 * Operations on the machine. Each is written as a generator that yields products of powers and receives their values, so that the driver can
 * put two products of equal shape into the two lanes: the halves of a CRT computation, or the products of two operations.
 */
import { bitLength } from '../base/bytes.ts';
import { CHUNK_BITS, combShapeOf, shapeOf, type Comb, type Machine, type Product } from './machine.ts';
import { PrimeSearch } from './prime-search.ts';
import { deriveSecrets, mod, recombine, type KeySecrets } from './secrets.ts';
import { Recent } from './recent.ts';
import { hasFactors, type Modulus, type Operation, type PaillierSecret, type RingPedersenSecret, type Term } from './types.ts';

/** What a step asks of the machine. */
type Request = Product | Comb;
type Steps = Generator<Request[], bigint, bigint[]>;

const isComb = (request: Request): request is Comb => 'bases' in request;
type Factored = PaillierSecret | RingPedersenSecret;

/** In place of a value, when a base is no unit and so has no tables. */
const NO_TABLES = -1n;

/** The length of a secret exponent is rounded up to this many bits, so that it tells only which bound of the protocol the exponent has. */
const GRAIN = 256;
export const paddedBits = (exponent: bigint): number => Math.max(GRAIN, Math.ceil(bitLength(exponent) / GRAIN) * GRAIN);

export class Evaluator {
  readonly #machine: Machine;
  readonly #secrets = new Recent<bigint, KeySecrets>(8);
  /** The search under way, by the length of its primes: it goes on with the next slice. */
  readonly #searches = new Recent<number, PrimeSearch>(2);

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** One operation, or several whose products are paired where their shapes agree. @throws RangeError */
  evaluate(operations: readonly Operation[]): bigint[] {
    const runs = operations.map((operation) => this.#steps(operation));
    const states = runs.map((run) => run.next());
    for (;;) {
      const open = states.flatMap((state, i) => (state.done ? [] : [{ i, products: state.value }]));
      if (open.length === 0) return states.map(({ value }) => value as bigint);
      const values = this.#serve(open.flatMap(({ products }) => products));
      for (const { i, products } of open) states[i] = runs[i]!.next(values.splice(0, products.length));
    }
  }

  #serve(requests: readonly Request[]): bigint[] {
    const values = new Array<bigint>(requests.length);
    const waiting = new Map<string, number>();
    const run = (...lanes: number[]): void => {
      const results = this.#lanes(lanes.map((i) => requests[i]!));
      lanes.forEach((i, lane) => {
        values[i] = results[lane]!;
      });
    };
    requests.forEach((request, i) => {
      const shape = isComb(request) ? combShapeOf(request) : shapeOf(request);
      const partner = waiting.get(shape);
      if (partner === undefined) {
        waiting.set(shape, i);
        return;
      }
      waiting.delete(shape);
      run(partner, i);
    });
    for (const i of waiting.values()) run(i);
    return values;
  }

  /** One or two requests of equal shape. */
  #lanes(requests: readonly Request[]): bigint[] {
    if (!isComb(requests[0]!)) return this.#machine.products(requests as unknown as readonly [Product]);
    return this.#machine.combs(requests as unknown as readonly [Comb]) ?? requests.map(() => NO_TABLES);
  }

  #steps(operation: Operation): Steps {
    switch (operation.op) {
      case 'power':
        return this.#power(operation.modulus, operation.terms, operation.secret);
      case 'encrypt':
        return hasFactors(operation.key)
          ? this.#encryptOwn(operation.key, operation.m, operation.r)
          : this.#encrypt(operation.key.n, operation.m, operation.r);
      case 'decrypt':
        return this.#decrypt(operation.key, operation.c);
      case 'commit':
        return this.#commit(operation);
      case 'coprime':
        return this.#coprime(operation.n, operation.values);
      case 'search':
        return this.#search(operation.bits);
    }
  }

  #secretsOf(key: Factored): KeySecrets {
    let secrets = this.#secrets.get(key.n);
    // The key's factors are compared, so that a wrong key never borrows another's secrets.
    if (secrets === undefined || secrets.n.p !== key.p || secrets.n.q !== key.q) {
      secrets = deriveSecrets(this.#machine, key);
      this.#secrets.set(key.n, secrets);
    }
    return secrets;
  }

  *#power(modulus: Modulus, terms: readonly Term[], secret: boolean): Steps {
    if (typeof modulus === 'bigint') return yield* this.#plain(modulus, terms, secret);
    const { key } = modulus;
    const squared = modulus.mod === 'N²';
    // A base that shares a factor with the own modulus does not occur; for the sake of a right answer it takes the long way.
    if (!hasFactors(key) || terms.some(({ base }) => base % key.p === 0n || base % key.q === 0n))
      return yield* this.#plain(key.n, terms, secret, squared);
    const secrets = this.#secretsOf(key);
    const half = (prime: bigint): Product => this.#product(prime, terms, secret, squared, squared ? prime * (prime - 1n) : prime - 1n);
    const [a, b] = yield [half(key.p), half(key.q)];
    return recombine(squared ? secrets.n2 : secrets.n, a!, b!);
  }

  *#plain(n: bigint, terms: readonly Term[], secret: boolean, squared = false): Steps {
    const [value] = yield [this.#product(n, terms, secret, squared)];
    return value!;
  }

  /**
   * The product of `terms` mod n, or n². Exponents that are longer than the `order` of the group (where it is known: then n is secret) are reduced
   * by it; others keep their length. A secret exponent that is not reduced is treated as signed whatever its sign is, at the price of an inversion.
   */
  #product(n: bigint, terms: readonly Term[], secret: boolean, squared: boolean, order?: bigint): Product {
    const orderBits = order === undefined ? Infinity : bitLength(order);
    const modulus = squared ? n * n : n;
    const factors = terms.map(({ base, exponent }) => {
      const b = mod(base, modulus);
      const bits = secret ? paddedBits(exponent) : bitLength(exponent);
      if (bits >= orderBits) return { base: b, exponent: mod(exponent, order!), bits: orderBits, signed: false };
      if (!secret && exponent >= 0n) return { base: b, exponent, bits, signed: false };
      const inverse = squared ? this.#invertSquared(b, n) : this.#machine.invert(b, n);
      if (inverse === undefined && exponent < 0n) throw new RangeError('a negative exponent needs a base that is a unit modulo n');
      return secret
        ? { base: b, inverse: inverse ?? b, exponent, bits, signed: true }
        : { base: inverse!, exponent: -exponent, bits, signed: false };
    });
    return {
      n,
      squared,
      terms: factors,
      signed: factors.some(({ signed }) => signed),
      secret,
      hidden: order !== undefined,
      checked: order !== undefined,
    };
  }

  /** b⁻¹ mod n² from y = b⁻¹ mod n, by y·(2 − b·y) (Newton): a third of the time of an inversion modulo n². */
  #invertSquared(b: bigint, n: bigint): bigint | undefined {
    const y = this.#machine.invert(b % n, n);
    return y === undefined ? undefined : mod(y * (2n - b * y), n * n);
  }

  /** (1 + mN)·r^N mod N². The exponent N is public, so only base and factor are secret, and every path treats those alike. */
  *#encrypt(n: bigint, m: bigint, r: bigint): Steps {
    const factor = 1n + mod(m, n) * n;
    const terms = [{ base: mod(r, n), exponent: n, bits: bitLength(n) }];
    const [value] = yield [{ n, squared: true, terms, factor, signed: false, secret: false, hidden: false }];
    return value!;
  }

  /** r^N mod p² = (r^(q mod (p−1)) mod p)^p, and the same for q: the inner power has half the size, the outer half the exponent. */
  *#encryptOwn(key: PaillierSecret, m: bigint, r: bigint): Steps {
    const { n, p, q } = key;
    if (r % p === 0n || r % q === 0n) return yield* this.#encrypt(n, m, r);
    const { n2 } = this.#secretsOf(key);
    const bits = Math.max(bitLength(p), bitLength(q));
    const hidden = { signed: false, secret: true, hidden: true, checked: true };
    const [x, y] = yield [
      { n: p, terms: [{ base: mod(r, p), exponent: q % (p - 1n), bits }], ...hidden },
      { n: q, terms: [{ base: mod(r, q), exponent: p % (q - 1n), bits }], ...hidden },
    ];
    const plain = 1n + mod(m, n) * n;
    const [a, b] = yield [
      { n: p, squared: true, terms: [{ base: x!, exponent: p, bits }], factor: plain % n2.p, ...hidden },
      { n: q, squared: true, terms: [{ base: y!, exponent: q, bits }], factor: plain % n2.q, ...hidden },
    ];
    return recombine(n2, a!, b!);
  }

  /**
   * m mod p = L_p(c^(p−1) mod p²)·h_p with h_p = (−q)⁻¹ mod p, as (1+N)^(p−1) = 1 − N mod p² and L_p of that is −q. And −p⁻¹ mod q is at hand from the
   * recombination; −q⁻¹ mod p follows from it, as p·p⁻¹ + q·q⁻¹ = 1 + N for the inverses mod q and mod p.
   */
  *#decrypt(key: PaillierSecret, c: bigint): Steps {
    const { n, p, q } = key;
    if (c % p === 0n || c % q === 0n) throw new RangeError('the ciphertext is not a unit modulo N²: check it before decrypting');
    const { n: half, n2 } = this.#secretsOf(key);
    const bits = Math.max(bitLength(p), bitLength(q));
    const hidden = { signed: false, secret: true, hidden: true, checked: true };
    const [a, b] = yield [
      { n: p, squared: true, terms: [{ base: mod(c, n2.p), exponent: p - 1n, bits }], ...hidden },
      { n: q, squared: true, terms: [{ base: mod(c, n2.q), exponent: q - 1n, bits }], ...hidden },
    ];
    const qInverse = (1n + n - p * half.pInverse) / q;
    const m = recombine(half, ((((a! - 1n) / p) % p) * (p - qInverse)) % p, ((((b! - 1n) / q) % q) * (q - half.pInverse)) % q);
    return 2n * m > n ? m - n : m;
  }

  *#commit({ setup, x, y, secret }: Operation & { op: 'commit' }): Steps {
    const { n, s, t } = setup;
    const plain = [
      { base: s, exponent: x },
      { base: t, exponent: y },
    ];
    if (!hasFactors(setup)) {
      const exponents = [x, y];
      const chunks = exponents.map((e) => Math.ceil((secret ? paddedBits(e) : bitLength(e)) / CHUNK_BITS));
      const [value] = yield [{ n, bases: [mod(s, n), mod(t, n)], exponents, chunks, secret }];
      return value! === NO_TABLES ? yield* this.#plain(n, plain, secret) : value!;
    }
    if (t % setup.p === 0n || t % setup.q === 0n) return yield* this.#plain(n, plain, secret);
    // The owner knows s = t^λ: s^x·t^y = t^(λx + y), with the exponent reduced for each half.
    const { n: half } = this.#secretsOf(setup);
    const exponent = setup.lambda * x + y;
    const bits = Math.max(bitLength(half.p), bitLength(half.q));
    const side = (prime: bigint): Product => ({
      n: prime,
      terms: [{ base: mod(t, prime), exponent: mod(exponent, prime - 1n), bits }],
      signed: false,
      secret,
      hidden: true,
      checked: true,
    });
    const [a, b] = yield [side(half.p), side(half.q)];
    return recombine(half, a!, b!);
  }

  // eslint-disable-next-line require-yield -- the search has its own powers
  *#search(bits: number): Steps {
    let search = this.#searches.get(bits);
    if (search === undefined) this.#searches.set(bits, (search = new PrimeSearch(this.#machine, bits)));
    return search.slice() ?? 0n;
  }

  // eslint-disable-next-line require-yield -- no powers: one inversion-free gcd of the product
  *#coprime(n: bigint, values: readonly bigint[]): Steps {
    return this.#machine.isUnit(
      values.reduce((product, v) => mod(product * v, n), 1n % n),
      n,
    )
      ? 1n
      : 0n;
  }
}
