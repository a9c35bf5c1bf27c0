/** How a node is named in its certificate: the common name is the node id, and one DNS name is derived from it. */
import { Refusal } from '../base/errors.ts';

/** Reserved for the mesh: no resolver is ever asked for it, it is only compared with the certificate. */
export const MESH_DOMAIN = 'mesh.threshold-wallet.internal';

/** Lower-case letters, digits and inner dashes, 1 to 31 characters: a DNS label, so that {@link serverName} is a DNS name. */
const NODE_ID = /^[a-z0-9](?:[a-z0-9-]{0,29}[a-z0-9])?$/;
export const isNodeId = (text: string): boolean => NODE_ID.test(text);

/** @throws Refusal `pki.node_id` naming `field`. */
export function requireNodeId(text: string, field: string): void {
  if (!isNodeId(text)) {
    throw new Refusal(
      'pki.node_id',
      field,
      `"${text}" is not a node id`,
      'use lower-case letters, digits and inner dashes, at most 31 characters, such as node-1',
    );
  }
}

/** The name that a dialler expects in the certificate of `node`. IP addresses are not enough: the TLS library does not compare them. */
export const serverName = (node: string): string => `${node}.${MESH_DOMAIN}`;
