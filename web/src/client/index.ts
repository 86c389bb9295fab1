/** Kaiwa's client library. In reading order: */
export { Kaiwa, type Change, type KaiwaOptions, type MessagesView, type RoomView } from './client.js';
export { signIn, refreshToken, serverInfo, type SignedIn } from './http.js';
export { IndexedDbStore } from './store-idb.js';
export { MemoryStore, systemClock, type Clock, type OpenSocket, type Socket, type Store } from './ports.js';
export type { GetToken } from './connection.js';
export type { Status, StopReason } from './session.js';
export type { Write, WriteOp, WriteState } from './outbox.js';
export { utf8Length, type CodecName } from './codec.js';
export type { Notifications } from './notify.js';
export { isNamed, type Unread } from './room.js';
export type { Calls, CallChange } from './call.js';
export * from './call-view.js';
export type { CallIn } from './call-roster.js';
export type { OpenPeer, Peer } from './call-negotiation.js';
// `CallInspector` is in './inspect.js' by itself: an app loads it when somebody looks at a call's health.
export * from './inspect-types.js';
export * from './clip-types.js';
export { ClipsApi, newUuid, type ClipsApiOptions, type Fetch } from './clip-api.js';
export { ClipUploads, type UploadsOptions } from './clip-uploads.js';
export { ClipUpload, type UploadState } from './clip-upload.js';
export { IndexedDbUploads, MemoryUploads, type UploadRecord, type UploadStore } from './clip-store.js';
export { FileGone, type FileHandle, type UploadFile } from './clip-file.js';
export { PlaybackGrants } from './clip-grants.js';
export * from './types.js';
