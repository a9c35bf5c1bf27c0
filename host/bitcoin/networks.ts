/** The Bitcoin networks this wallet knows, and how their addresses are told apart. */
import { Refusal } from '../base/errors.ts';
import { networks } from './library.ts';

export const NETWORKS = ['mainnet', 'testnet', 'signet', 'regtest'] as const;
export type Network = (typeof NETWORKS)[number];

export interface NetworkParameters {
  /** Human-readable part of SegWit addresses (BIP-173, BIP-350). Signet shares testnet's. */
  readonly hrp: string;
  /** Version bytes of Base58Check addresses. Testnet, signet and regtest share theirs. */
  readonly pubKeyHash: number;
  readonly scriptHash: number;
}

const parametersOf = (network: typeof networks.bitcoin): NetworkParameters => ({
  hrp: network.bech32,
  pubKeyHash: network.pubKeyHash,
  scriptHash: network.scriptHash,
});

export const PARAMETERS: Readonly<Record<Network, NetworkParameters>> = {
  mainnet: parametersOf(networks.bitcoin),
  testnet: parametersOf(networks.testnet),
  signet: parametersOf(networks.testnet),
  regtest: parametersOf(networks.regtest),
};

/** @throws Refusal listing the valid names. */
export function parseNetwork(name: string, field = 'network'): Network {
  const network = NETWORKS.find((known) => known === name);
  if (network === undefined) {
    throw new Refusal('unknown_network', field, `unknown Bitcoin network ${JSON.stringify(name)}`, `use one of ${NETWORKS.join(', ')}`);
  }
  return network;
}
