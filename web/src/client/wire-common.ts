/** What both parts of the wire use. */
import type * as pb from '../gen/kaiwa/client/v1/client_pb.js';
import { KaiwaError, type User } from './types.js';

export const userOf = (user: pb.User | undefined): User => ({ id: user?.id ?? '', name: user?.name ?? '' });

export function errorOf(e: pb.Error): KaiwaError {
  return new KaiwaError({
    code: e.code,
    reason: e.reason,
    message: e.message,
    temporary: e.temporary,
    retryMs: e.retryMs,
    details: { ...e.details },
  });
}
