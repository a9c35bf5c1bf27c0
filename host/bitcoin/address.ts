/** Addresses: of our own keys, and of those we pay. */
import { Refusal } from '../base/errors.ts';
import { concatBytes } from '../base/bytes.ts';
import { address as codec } from './library.ts';
import { NETWORKS, PARAMETERS, type Network } from './networks.ts';
import { isXOnlyKey, scriptType, walletScript } from './scripts.ts';

/** Longest address accepted: BIP-173's limit for the whole string. */
const MAX_LENGTH = 90;
const SUPPORTED = 'P2PKH, P2SH, P2WPKH, P2WSH or P2TR';

/** P2WPKH address of a 33-byte compressed key. @throws Defect for any other key. */
export const p2wpkhAddress = (publicKey: Uint8Array, network: Network): string =>
  addressOf(walletScript('p2wpkh', publicKey).script, network);
/** P2WSH address of the script `<publicKey> OP_CHECKSIG`. @throws Defect for anything but a 33-byte compressed key. */
export const p2wshAddress = (publicKey: Uint8Array, network: Network): string =>
  addressOf(walletScript('p2wsh', publicKey).script, network);
/** P2TR address of a 32-byte output key, already tweaked. @throws Defect when it is no x-coordinate of a point. */
export const p2trAddress = (outputKey: Uint8Array, network: Network): string => addressOf(walletScript('p2tr', outputKey).script, network);

/** The address of a standard output script. @throws RangeError when the script has none. */
export function addressOf(script: Uint8Array, network: Network): string {
  const { hrp, pubKeyHash, scriptHash } = PARAMETERS[network];
  switch (scriptType(script)) {
    case 'p2wpkh':
    case 'p2wsh':
      return codec.toBech32(script.subarray(2), 0, hrp);
    case 'p2tr':
      return codec.toBech32(script.subarray(2), 1, hrp);
    case 'p2pkh':
      return codec.toBase58Check(script.subarray(3, 23), pubKeyHash);
    case 'p2sh':
      return codec.toBase58Check(script.subarray(2, 22), scriptHash);
    case 'op_return':
    case undefined:
      throw new RangeError('this script has no address');
  }
}

/**
 * The output script of a recipient's address: P2PKH, P2SH, P2WPKH, P2WSH or P2TR of the given network.
 * @throws Refusal naming `field` for a bad checksum, another network's address (names it), or an unsupported witness version.
 */
export function parseRecipient(text: string, network: Network, field = 'recipient'): Uint8Array {
  const refuse = (code: string, message: string, remedy: string): never => {
    throw new Refusal(code, field, message, remedy);
  };
  if (text.length === 0) refuse('malformed_address', 'the address is empty', `give a ${SUPPORTED} address of ${network}`);
  if (text.length > MAX_LENGTH || !/^[0-9a-zA-Z]+$/.test(text)) {
    refuse('malformed_address', 'not a Bitcoin address', `give a ${SUPPORTED} address of ${network}, letters and digits only`);
  }

  const legacy = attempt(() => codec.fromBase58Check(text));
  if (legacy !== undefined) {
    const script = (parameters: (typeof PARAMETERS)[Network]): Uint8Array | undefined => {
      if (legacy.version === parameters.pubKeyHash)
        return concatBytes(Uint8Array.of(0x76, 0xa9, 20), legacy.hash, Uint8Array.of(0x88, 0xac));
      if (legacy.version === parameters.scriptHash) return concatBytes(Uint8Array.of(0xa9, 20), legacy.hash, Uint8Array.of(0x87));
      return undefined;
    };
    return (
      script(PARAMETERS[network]) ??
      refuseNetwork(
        NETWORKS.filter((other) => script(PARAMETERS[other]) !== undefined),
        network,
        field,
      )
    );
  }

  const prefix = text.slice(0, text.lastIndexOf('1')).toLowerCase();
  const known = NETWORKS.filter((other) => PARAMETERS[other].hrp === prefix);
  const segwit = attempt(() => codec.fromBech32(text));
  if (segwit === undefined) {
    return known.length > 0
      ? refuse('bad_checksum', 'the address does not match its checksum', 'copy the whole address again; at least one character is wrong')
      : refuse('bad_checksum', 'not a Bitcoin address, or its checksum is wrong', `give a ${SUPPORTED} address of ${network}`);
  }
  if (!known.includes(network)) return refuseNetwork(known, network, field);

  const { version, data } = segwit;
  if (version === 0 && (data.length === 20 || data.length === 32)) return concatBytes(Uint8Array.of(0, data.length), data);
  if (version === 0)
    refuse('malformed_address', `a version 0 address holds 20 or 32 bytes, not ${data.length}`, 'ask the recipient for a valid address');
  if (version === 1 && data.length === 32) {
    if (!isXOnlyKey(data)) {
      refuse(
        'malformed_address',
        'the Taproot address holds no public key: what is paid to it is lost',
        'ask the recipient for another address',
      );
    }
    return concatBytes(Uint8Array.of(0x51, 32), data);
  }
  return refuse(
    'unsupported_witness_version',
    `witness version ${version} with ${data.length} bytes is not supported`,
    `ask the recipient for a ${SUPPORTED} address`,
  );
}

function refuseNetwork(actual: readonly Network[], wanted: Network, field: string): never {
  const where = actual.length === 0 ? 'no network this wallet knows' : actual.join(' or ');
  throw new Refusal('wrong_network', field, `the address belongs to ${where}, this wallet to ${wanted}`, `give an address of ${wanted}`);
}

/** The decoders throw for every string they do not know; here that is an answer, not an error. */
function attempt<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch {
    return undefined;
  }
}
