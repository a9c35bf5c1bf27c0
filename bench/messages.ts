/** What the measured signatures sign. */
import { utf8 } from '../host/base/bytes.ts';
import { bitcoinSighash } from '../host/cggmp24/index.ts';
import { taprootSighash } from '../host/frost/sighash.ts';

export const message = bitcoinSighash(utf8('the preimage of a sighash'));

/** BIP-341 message of a key-path spend, SIGHASH_DEFAULT, one input: epoch, type, version … index; what the hashes are does not matter. */
export const taprootMessage = taprootSighash(new Uint8Array(1 + 1 + 4 + 4 + 4 * 32 + 32 + 1 + 4));
