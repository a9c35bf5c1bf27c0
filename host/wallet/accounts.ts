/** A key seen as a Bitcoin wallet: its script, its address, and what the API says about it. */
import { hex } from '../base/bytes.ts';
import { addressOf } from '../bitcoin/address.ts';
import type { Network } from '../bitcoin/networks.ts';
import type { WalletPath } from '../bitcoin/paths.ts';
import { walletScript, type WalletScript } from '../bitcoin/scripts.ts';
import { Child, type ExtendedKey } from '../curve/bip32.ts';
import { outputKey } from '../frost/share.ts';
import { tweakPoint } from '../frost/taproot.ts';
import type { Plan } from '../resharing/plan.ts';
import type { WalletKey } from './keyring.ts';
import type { WalletInfo } from './types.ts';

/** What has children: the key itself, for Taproot the one before the tweak. */
export const rootOf = ({ protocol, share }: WalletKey): ExtendedKey =>
  protocol === 'cggmp24' ? share : { publicKey: share.internal, chainCode: share.chainCode };

/**
 * Of the key's type; of the wallet's own key, or of the one at `path` below it. The stored key of FROST is tweaked already (BIP-341); its children are
 * tweaked here (BIP-86).
 */
export function scriptOf(key: WalletKey, path: WalletPath = []): WalletScript {
  const child = path.length === 0 ? undefined : Child.of(rootOf(key), path).publicKey;
  if (key.protocol === 'cggmp24') return walletScript(key.addressType, (child ?? key.share.publicKey).toBytes(true));
  return walletScript(key.addressType, outputKey(child === undefined ? key.share : { P: tweakPoint(child) }));
}

export const addressAt = (key: WalletKey, path: WalletPath, network: Network): string => addressOf(scriptOf(key, path).script, network);

/** Hex, as the API shows it: 33 bytes compressed, or 32 bytes x-only. */
export const publicKeyOf = (key: WalletKey): string => hex(scriptOf(key).publicKey);
export const keyOfPlan = ({ scheme, publicKey }: Pick<Plan, 'scheme' | 'publicKey'>): string =>
  hex(scheme === 'cggmp24' ? publicKey.toBytes(true) : outputKey({ P: publicKey }));

export function walletInfo(key: WalletKey, network: Network): WalletInfo {
  const script = scriptOf(key);
  return {
    wallet_id: key.walletId,
    name: key.walletName,
    protocol: key.protocol,
    address_type: key.addressType,
    threshold: key.share.t,
    total_nodes: key.share.n,
    public_key: hex(script.publicKey),
    address: addressOf(script.script, network),
    network,
    created_at: new Date(key.createdAt).toISOString(),
  };
}
