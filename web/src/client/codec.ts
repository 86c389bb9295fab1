/**
 * The two codecs (docs/protocol.md, section 1). A frame holds messages: JSON separated by newlines,
 * Protobuf each preceded by its length. Unknown fields are ignored by both.
 */
import { fromBinary, fromJsonString, toJsonString } from '@bufbuild/protobuf';
import { BinaryReader, sizeDelimitedEncode } from '@bufbuild/protobuf/wire';
import { ClientMessageSchema, ServerMessageSchema } from '../gen/kaiwa/client/v1/client_pb.js';
import { fromWire, toWire } from './wire.js';
import type { Command, ServerSays } from './types.js';

export type CodecName = 'proto' | 'json';
export type Frame = string | Uint8Array<ArrayBuffer>;

export interface Codec {
  readonly subprotocol: string;
  encode(id: number, command: Command): Frame;
  /** A message that can't be read becomes `unknown`; the others of its frame are kept. */
  decode(frame: string | ArrayBuffer | Uint8Array): ServerSays[];
}

const UNKNOWN: ServerSays = { kind: 'unknown' };
const utf8 = new TextDecoder();

const json: Codec = {
  subprotocol: 'kaiwa.v1+json',
  encode: (id, command) => toJsonString(ClientMessageSchema, toWire(id, command)),
  decode(frame) {
    const text = typeof frame === 'string' ? frame : utf8.decode(frame);
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => {
        try {
          return fromWire(fromJsonString(ServerMessageSchema, line, { ignoreUnknownFields: true }));
        } catch {
          return UNKNOWN;
        }
      });
  },
};

const proto: Codec = {
  subprotocol: 'kaiwa.v1+proto',
  encode: (id, command) =>
    sizeDelimitedEncode(ClientMessageSchema, toWire(id, command)) as Uint8Array<ArrayBuffer>,
  decode(frame) {
    if (typeof frame === 'string') return [UNKNOWN];
    const bytes = frame instanceof Uint8Array ? frame : new Uint8Array(frame);
    const said: ServerSays[] = [];
    try {
      for (const reader = new BinaryReader(bytes); reader.pos < reader.len; ) {
        const body = reader.bytes();
        try {
          said.push(fromWire(fromBinary(ServerMessageSchema, body)));
        } catch {
          said.push(UNKNOWN);
        }
      }
    } catch {
      said.push(UNKNOWN);
    }
    return said;
  },
};

export function codecOf(name: CodecName): Codec {
  return name === 'json' ? json : proto;
}

/** How many bytes a text takes, to hold it against `limits.textBytes` before sending. */
export function utf8Length(text: string): number {
  return new TextEncoder().encode(text).length;
}

