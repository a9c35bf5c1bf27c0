/** A key seen as a Bitcoin wallet: its script, its address, and what the API says about it. */
import { hex } from '../base/bytes.ts';
import { addressOf } from '../bitcoin/address.ts';
import type { Network } from '../bitcoin/networks.ts';
import { walletScript, type WalletScript } from '../bitcoin/scripts.ts';
import { outputKey } from '../frost/share.ts';
import type { Plan } from '../resharing/plan.ts';
import type { WalletKey } from './keyring.ts';
import type { WalletInfo } from './types.ts';

/** P2WPKH for CGGMP24, P2TR for FROST (its output key is tweaked already, BIP-341). */
export const scriptOf = (key: WalletKey): WalletScript =>
  key.protocol === 'cggmp24' ? walletScript('p2wpkh', key.share.publicKey.toBytes(true)) : walletScript('p2tr', outputKey(key.share));

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
    address_type: key.protocol === 'cggmp24' ? 'p2wpkh' : 'p2tr',
    threshold: key.share.t,
    total_nodes: key.share.n,
    public_key: hex(script.publicKey),
    address: addressOf(script.script, network),
    network,
    created_at: new Date(key.createdAt).toISOString(),
  };
}
