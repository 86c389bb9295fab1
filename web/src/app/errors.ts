/** What happened and what to do, in the person's language. */
import { KaiwaError } from '../client/index.js';
import { DeviceProblem } from './call-devices.js';
import { t, type Key } from './i18n.js';

const BY_REASON: Record<string, Key> = {
  offline: 'errOffline',
  forbidden: 'errForbidden',
  rate_limited: 'errRate',
  limit_reached: 'errLimit',
  invalid_argument: 'errInvalid',
  room_not_found: 'errRoomNotFound',
  not_a_member: 'errNotMember',
  message_not_found: 'errMessageNotFound',
  message_deleted: 'errMessageDeleted',
  cid_expired: 'errCid',
  cid_conflict: 'errCid',
  user_not_found: 'errUser',
  room_full: 'errFull',
  wrong_room_kind: 'errKind',
  last_owner: 'errLastOwner',
  too_large: 'errTooLarge',
  internal: 'errServer',
  overloaded: 'errServer',
  draining: 'errServer',
  unavailable: 'errServer',
  calls_off: 'errCallsOff',
  call_full: 'errCallFull',
  not_in_call: 'errNotInCall',
  publication_not_found: 'errCallGone',
  participant_not_found: 'errCallGone',
  calls_unsupported: 'errCallsUnsupported',
  bad_offer: 'errCallOffer',
  unknown_command: 'notifyServerOff',
  push_off: 'notifyServerOff',
  device_unknown: 'notifyDeviceGone',
  address_refused: 'notifyRefusedAddress',
};

export function explain(error: unknown): string {
  if (error instanceof DeviceProblem) return t(error.key);
  if (error instanceof KaiwaError) return explainReason(error.reason, error.message, error.details, error.temporary);
  if (error instanceof TypeError) return t('errUnreachable');
  const message = error instanceof Error ? error.message : String(error);
  return t('errOther', { message, reason: 'unexpected' });
}

export function explainReason(
  reason: string,
  message: string,
  details: Readonly<Record<string, string>> = {},
  temporary = false,
): string {
  const key = BY_REASON[reason] ?? (temporary ? 'errServer' : null);
  return key ? t(key, { limit: '…', field: '…', ...details }) : t('errOther', { message, reason });
}

export function explainSignIn(error: unknown): string {
  if (!(error instanceof KaiwaError)) return explain(error);
  if (error.reason === 'forbidden') return t('errNotLocal');
  if (error.reason === 'invalid_argument') return t('errName');
  if (error.temporary) return t('errServer');
  return t('errSignIn', { message: error.message });
}
