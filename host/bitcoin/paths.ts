/**
 * Which keys below a wallet's key have addresses: `account/chain/index`, none hardened. An account is a user of the wallet; chain 0 receives, chain 1
 * takes change; the empty path is the wallet's own address. Watch-only software finds the same addresses from `KEY/account/chain/*`.
 */
export type WalletPath = readonly number[];

export const PATH_LENGTH = 3;
export const RECEIVE = 0;
export const CHANGE = 1;
/** Greatest account and greatest index: what is above is hardened. */
export const MAX_STEP = 0x7fffffff;

const isStep = (n: number | undefined): boolean => n !== undefined && Number.isInteger(n) && n >= 0 && n <= MAX_STEP;

/** Whether it is the path of an address: empty, or account, 0 or 1, index. */
export const isWalletPath = (path: WalletPath): boolean =>
  path.length === 0 || (path.length === PATH_LENGTH && isStep(path[0]) && (path[1] === RECEIVE || path[1] === CHANGE) && isStep(path[2]));

export const showPath = (path: WalletPath): string => ['m', ...path].join('/');

/** The account whose change address takes the change: that of the first input that has one; undefined when all are of the wallet's own address. */
export const changeAccount = (inputs: readonly { readonly path: WalletPath }[]): number | undefined =>
  inputs.find(({ path }) => path.length > 0)?.path[0];
