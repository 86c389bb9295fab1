import { describe, expect, it } from 'vitest';
import { create, fromBinary, toBinary, toJsonString } from '@bufbuild/protobuf';
import { sizeDelimitedEncode } from '@bufbuild/protobuf/wire';
import { afterClose, backoffMs } from '../src/client/backoff.js';
import { codecOf } from '../src/client/codec.js';
import { Outbox, type Write } from '../src/client/outbox.js';
import type { Command } from '../src/client/types.js';
import { uuid7, uuid7TimeMs } from '../src/client/uuid7.js';
import * as pb from '../src/gen/kaiwa/client/v1/client_pb.js';

describe('uuid7', () => {
  it('carries its time, version and variant', () => {
    // RFC 9562, appendix A.6.
    const random = Uint8Array.from([0, 0, 0, 0, 0, 0, 0x0c, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f]);
    const id = uuid7(0x017f22e279b0, random);
    expect(id).toBe('017f22e2-79b0-7cc3-98c4-dc0c0c07398f');
    expect(uuid7TimeMs(id)).toBe(0x017f22e279b0);
  });
});

describe('backoff', () => {
  it('doubles from 500–3,000 ms and never passes 30 s', () => {
    expect(backoffMs(0, () => 0)).toBe(500);
    expect(backoffMs(0, () => 1)).toBe(3_000);
    expect(backoffMs(2, () => 0)).toBe(2_000);
    expect(backoffMs(60, () => 1)).toBe(30_000);
  });

  it('does what the range says, for codes that it does not know', () => {
    const at = (code: number) => afterClose({ code, retryMinMs: 10, retryMaxMs: 20 }, 0, () => 0.5);
    expect(at(4042)).toMatchObject({ kind: 'reconnect', waitMs: 15, resume: true, freshToken: false });
    expect(at(4142)).toMatchObject({ kind: 'reconnect', freshToken: true, forget: false });
    expect(at(4101)).toMatchObject({ kind: 'reconnect', forget: true, resume: false });
    expect(at(4242)).toMatchObject({ kind: 'reconnect', waitMs: 45_000 });
    expect(at(4342)).toEqual({ kind: 'stop', code: 4342 });
    expect(at(1001)).toMatchObject({ kind: 'reconnect', resume: true });
  });
});

describe('outbox', () => {
  it('is never without a stored write while a failed one is sent again', () => {
    for (const [reason, cid] of [['forbidden', 'a'], ['cid_expired', 'b']] as const) {
      const outbox = new Outbox(() => 0);
      const op: Write['op'] = { kind: 'send', text: 'x', replyTo: 0 };
      outbox.add({ cid: 'a', room: 'r', op, createdMs: 1, attempts: 2, state: { kind: 'failed', code: 1, reason, message: '' } });
      outbox.poll();
      outbox.retry('a', () => 'b');
      const stored = new Set(['a']);
      for (const effect of outbox.poll()) {
        if (effect.kind === 'save') stored.add(effect.write.cid);
        else if (effect.kind === 'forget') stored.delete(effect.cid);
        expect(stored.size).toBeGreaterThan(0);
      }
      expect([...stored]).toEqual([cid]);
      expect(outbox.writes('r').map((w) => [w.cid, w.state.kind])).toEqual([[cid, 'waiting']]);
    }
  });
});

describe('codecs', () => {
  const event = create(pb.ServerMessageSchema, {
    message: {
      case: 'push',
      value: create(pb.PushSchema, {
        push: {
          case: 'event',
          value: create(pb.EventSchema, {
            room: 'r',
            epoch: 1,
            seq: 12n,
            body: { case: 'message', value: create(pb.MessagePostedSchema, { text: '改\n行' }) },
          }),
        },
      }),
    },
  });
  const expected = { kind: 'push', push: { kind: 'event', event: { room: 'r', seq: 12, body: { kind: 'posted', text: '改\n行' } } } };

  it('read several messages from one frame, and nothing from an empty one', () => {
    const line = toJsonString(pb.ServerMessageSchema, event);
    expect(line).not.toContain('\n');
    expect(codecOf('json').decode(`${line}\n${line}\n`)).toMatchObject([expected, expected]);
    expect(codecOf('json').decode('')).toEqual([]);
    const one = sizeDelimitedEncode(pb.ServerMessageSchema, event);
    const two = new Uint8Array(one.length * 2);
    two.set(one);
    two.set(one, one.length);
    expect(codecOf('proto').decode(two)).toMatchObject([expected, expected]);
    expect(codecOf('proto').decode(new ArrayBuffer(0))).toEqual([]);
  });

  it('take what they do not know for unknown, and never throw', () => {
    const json = codecOf('json');
    expect(json.decode('{"push":{"weather":{"sun":true}},"later":1}')).toEqual([{ kind: 'push', push: { kind: 'unknown' } }]);
    expect(json.decode('{"reply":{"id":3,"result9":{}}}')).toEqual([{ kind: 'reply', id: 3, result: { kind: 'unknown' } }]);
    expect(json.decode('{"push":{"event":{"room":"r","seq":"4","hologram":{}}}}')).toMatchObject([
      { push: { event: { seq: 4, body: { kind: 'unknown' } } } },
    ]);
    expect(json.decode('{"reply":{"id":1,"room":{"room":"r","kind":"ROOM_KIND_HOLODECK","head":7}}}')).toMatchObject([
      { result: { kind: 'room', info: { kind: 'unknown', head: 7 } } },
    ]);
    expect(json.decode('nonsense')).toEqual([{ kind: 'unknown' }]);
    expect(codecOf('proto').decode(Uint8Array.from([3, 255, 255, 255]))).toEqual([{ kind: 'unknown' }]);
    expect(codecOf('proto').decode(Uint8Array.from([90, 1]))).toEqual([{ kind: 'unknown' }]);
  });

  it('say the same thing in both', () => {
    const command: Command = { kind: 'send', room: 'r', cid: 'c', text: 'hi', replyTo: 5, mentions: ['bob'], mentionAll: false };
    expect(JSON.parse(codecOf('json').encode(3, command) as string)).toEqual({ id: 3, send: { room: 'r', cid: 'c', text: 'hi', replyTo: '5', mentions: ['bob'] } });
    const bytes = codecOf('proto').encode(3, command) as Uint8Array;
    expect(bytes[0]).toBe(bytes.length - 1);
    const message = fromBinary(pb.ClientMessageSchema, bytes.subarray(1));
    expect(toBinary(pb.ClientMessageSchema, message)).toEqual(bytes.subarray(1));
  });
});
