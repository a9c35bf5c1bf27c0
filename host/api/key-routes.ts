/** Routes about a key's shares: their epoch, refresh, resharing. Everything but the status is for administrators. */
import type { WalletService } from '../wallet/types.ts';
import * as requests from './requests.ts';
import * as responses from './responses.ts';
import { route, type AnyRoute } from './route.ts';
import { requireWallet } from './tokens.ts';

export function keyRoutes({ service }: { readonly service: WalletService }): AnyRoute[] {
  return [
    route({
      method: 'GET',
      url: '/api/v1/keys/:id',
      role: 'viewer',
      operation: 'keyStatus',
      summary: "A key's shares at this node: epoch, committee, how far a change has come",
      params: requests.walletParams,
      answers: { 200: responses.keyStatus },
      handle: async ({ params, principal }) => {
        requireWallet(principal, params.id);
        return { status: 200, body: await service.keyStatus(params.id) };
      },
    }),
    route({
      method: 'POST',
      url: '/api/v1/keys/:id/refresh',
      role: 'admin',
      operation: 'refreshKey',
      summary: 'New shares for the same nodes; key and address stay, all nodes take part',
      params: requests.walletParams,
      body: requests.emptyBody,
      answers: { 200: responses.keyStatus },
      slow: true,
      handle: async ({ params, principal }) => {
        requireWallet(principal, params.id);
        return { status: 200, body: await service.refreshKey(params.id) };
      },
    }),
    route({
      method: 'POST',
      url: '/api/v1/keys/:id/agree',
      role: 'admin',
      operation: 'agreeToReshare',
      summary: "This node's consent to a resharing, valid for a day",
      params: requests.walletParams,
      body: requests.agreeBody,
      answers: { 200: responses.agreed },
      handle: async ({ params, body, principal }) => {
        requireWallet(principal, params.id);
        await service.agreeToReshare(params.id, body);
        return { status: 200, body: { wallet_id: params.id, threshold: body.threshold, nodes: body.nodes } };
      },
    }),
    route({
      method: 'POST',
      url: '/api/v1/keys/:id/reshare',
      role: 'admin',
      operation: 'reshareKey',
      summary: 'The same key for other nodes or another threshold; the nodes concerned have agreed before',
      params: requests.walletParams,
      body: requests.reshareBody,
      answers: { 200: responses.keyStatus },
      slow: true,
      handle: async ({ params, body, principal }) => {
        requireWallet(principal, params.id);
        return { status: 200, body: await service.reshareKey(params.id, body) };
      },
    }),
    route({
      method: 'POST',
      url: '/api/v1/keys/:id/erase',
      role: 'admin',
      operation: 'eraseOldShares',
      summary: 'Destroy old shares although a new node never said that it has stored its own',
      params: requests.walletParams,
      body: requests.emptyBody,
      answers: { 200: responses.keyStatus },
      handle: async ({ params, principal }) => {
        requireWallet(principal, params.id);
        return { status: 200, body: await service.eraseOldShares(params.id) };
      },
    }),
  ];
}
