/**
 * Operations on the machine. Each is written as a generator that yields products of powers and receives their values, so that the driver can
 * put products of two operations into the two lanes, where their shapes are equal. Those of a key's owner fill both lanes by themselves (owner.ts).
 */
import { bitLength } from '../base/bytes.ts';
import { mod, paddedBits } from './integers.ts';
import { CHUNK_BITS, combShapeOf, shapeOf, type Comb, type Machine, type Product } from './machine.ts';
import { Owner } from './owner.ts';
import { PrimeSearch } from './prime-search.ts';
import { Recent } from './recent.ts';
import { hasFactors, type Modulus, type Operation, type Term } from './types.ts';

/** What a step asks of the machine. */
type Request = Product | Comb;
type Steps = Generator<Request[], bigint, bigint[]>;
type Run = Pick<Steps, 'next'>;

const isComb = (request: Request): request is Comb => 'bases' in request;
/** An operation that had no use for the other lane. */
const done = (value: bigint): Run => ({ next: () => ({ done: true, value }) });

/** In place of a value, when a base is no unit and so has no tables. */
const NO_TABLES = -1n;

export class Evaluator {
  readonly #machine: Machine;
  readonly #owner: Owner;
  /** The search under way, by the length of its primes: it goes on with the next slice. */
  readonly #searches = new Recent<number, PrimeSearch>(2);

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#owner = new Owner(machine);
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

  #steps(operation: Operation): Run {
    switch (operation.op) {
      case 'power':
        return this.#power(operation.modulus, operation.terms, operation.secret);
      case 'encrypt':
        return hasFactors(operation.key)
          ? done(this.#owner.encrypt(operation.key, operation.m, operation.r))
          : this.#encrypt(operation.key.n, operation.m, operation.r);
      case 'decrypt':
        return done(this.#owner.decrypt(operation.key, operation.c));
      case 'root':
        return done(this.#owner.root(operation.key, operation.degree, operation.base));
      case 'commit':
        return this.#commit(operation);
      case 'coprime':
        return done(this.#coprime(operation.n, operation.values));
      case 'search':
        return done(this.#search(operation.bits));
    }
  }

  *#power(modulus: Modulus, terms: readonly Term[], secret: boolean): Steps {
    if (typeof modulus === 'bigint') return yield* this.#plain(modulus, terms, secret);
    const { key } = modulus;
    const squared = modulus.mod === 'N²';
    // A base that shares a factor with the own modulus does not occur; for the sake of a right answer it takes the long way.
    const value = hasFactors(key) ? this.#owner.power(key, squared, terms, secret) : undefined;
    return value ?? (yield* this.#plain(key.n, terms, secret, squared));
  }

  *#plain(n: bigint, terms: readonly Term[], secret: boolean, squared = false): Steps {
    const [value] = yield [this.#product(n, terms, secret, squared)];
    return value!;
  }

  /** The product of `terms` mod n, or n². A secret exponent is treated as signed whatever its sign is, at the price of an inversion. */
  #product(n: bigint, terms: readonly Term[], secret: boolean, squared: boolean): Product {
    const modulus = squared ? n * n : n;
    const factors = terms.map(({ base, exponent }) => {
      const b = mod(base, modulus);
      const bits = secret ? paddedBits(exponent) : bitLength(exponent);
      if (!secret && exponent >= 0n) return { base: b, exponent, bits };
      const inverse = squared ? this.#machine.invertSquared(b, n) : this.#machine.invert(b, n);
      if (inverse === undefined && exponent < 0n) throw new RangeError('a negative exponent needs a base that is a unit modulo n');
      return secret ? { base: b, inverse: inverse ?? b, exponent, bits } : { base: inverse!, exponent: -exponent, bits };
    });
    return { n, squared, terms: factors, signed: secret, secret, hidden: false };
  }

  /** (1 + mN)·r^N mod N². The exponent N is public, so only base and factor are secret, and every path treats those alike. */
  *#encrypt(n: bigint, m: bigint, r: bigint): Steps {
    const factor = 1n + mod(m, n) * n;
    const terms = [{ base: mod(r, n), exponent: n, bits: bitLength(n) }];
    const [value] = yield [{ n, squared: true, terms, factor, signed: false, secret: false, hidden: false }];
    return value!;
  }

  *#commit({ setup, x, y, secret }: Operation & { op: 'commit' }): Steps {
    const { n, s, t } = setup;
    const plain = [
      { base: s, exponent: x },
      { base: t, exponent: y },
    ];
    if (hasFactors(setup)) return this.#owner.commit(setup, x, y, secret) ?? (yield* this.#plain(n, plain, secret));
    const exponents = [x, y];
    const chunks = exponents.map((e) => Math.ceil((secret ? paddedBits(e) : bitLength(e)) / CHUNK_BITS));
    const [value] = yield [{ n, bases: [mod(s, n), mod(t, n)], exponents, chunks, secret }];
    return value! === NO_TABLES ? yield* this.#plain(n, plain, secret) : value!;
  }

  #search(bits: number): bigint {
    let search = this.#searches.get(bits);
    if (search === undefined) this.#searches.set(bits, (search = new PrimeSearch(this.#machine, bits)));
    return search.slice() ?? 0n;
  }

  /** One inversion-free gcd of the product. */
  #coprime(n: bigint, values: readonly bigint[]): bigint {
    const product = values.reduce((all, v) => mod(all * v, n), 1n % n);
    return this.#machine.isUnit(product, n) ? 1n : 0n;
  }
}
