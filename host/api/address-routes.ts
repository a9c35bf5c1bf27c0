/** Addresses below a wallet's key, and what watch-only software needs to find them. */
import type { WalletService } from '../wallet/types.ts';
import * as requests from './requests.ts';
import * as responses from './responses.ts';
import { route, type AnyRoute } from './route.ts';
import { requireWallet } from './tokens.ts';

export function addressRoutes({ service }: { readonly service: WalletService }): AnyRoute[] {
  return [
    route({
      method: 'GET',
      url: '/api/v1/wallet/:id/address',
      role: 'viewer',
      operation: 'address',
      summary: "Where to receive: the wallet's own address, or that of an account and index, which this does not take into use",
      params: requests.walletParams,
      query: requests.addressQuery,
      answers: { 200: responses.walletAddress },
      handle: async ({ params, query, principal }) => {
        requireWallet(principal, params.id);
        const { index, account = 0 } = query;
        if (index !== undefined) return { status: 200, body: await service.addressAt(params.id, account, index) };
        return { status: 200, body: { ...(await service.wallet(params.id)), path: 'm', account: null, chain: null, index: null } };
      },
    }),
    route({
      method: 'POST',
      url: '/api/v1/wallet/:id/addresses',
      role: 'operator',
      operation: 'newAddress',
      summary: 'An address that nobody was given before',
      params: requests.walletParams,
      body: requests.newAddressBody,
      answers: { 201: responses.derivedAddress },
      handle: async ({ params, body, principal }) => {
        requireWallet(principal, params.id);
        return { status: 201, body: await service.newAddress(params.id, body) };
      },
    }),
    route({
      method: 'GET',
      url: '/api/v1/wallet/:id/addresses',
      role: 'viewer',
      operation: 'addresses',
      summary: 'The addresses in use: the own one, then by account, chain and index',
      params: requests.walletParams,
      query: requests.addressesQuery,
      answers: { 200: responses.derivedAddresses },
      handle: async ({ params, query, principal }) => {
        requireWallet(principal, params.id);
        const { items, total } = await service.addresses(params.id, query);
        return { status: 200, body: { addresses: items, total, limit: query.limit, offset: query.offset } };
      },
    }),
    route({
      method: 'GET',
      url: '/api/v1/wallet/:id/descriptor',
      role: 'viewer',
      operation: 'descriptor',
      summary: 'Extended public key and output descriptors for watch-only software',
      params: requests.walletParams,
      query: requests.descriptorQuery,
      answers: { 200: responses.descriptor },
      handle: async ({ params, query, principal }) => {
        requireWallet(principal, params.id);
        return { status: 200, body: await service.descriptor(params.id, query.account) };
      },
    }),
  ];
}
