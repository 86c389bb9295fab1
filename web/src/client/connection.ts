/** Carries out what a `Session` asks for: sockets, timers, tokens. */
import { codecOf, type Codec, type CodecName } from './codec.js';
import type { Clock, OpenSocket, Socket } from './ports.js';
import { Session, type SessionEffect, type SessionOptions } from './session.js';
import type { Command, Connected, Result } from './types.js';

/** Gives a token; null when the person has to sign in again; throws when it can't be known now. */
export type GetToken = (want: { fresh: boolean }) => Promise<string | null>;

export interface ConnectionOptions extends SessionOptions {
  url: string;
  codec: CodecName;
  clock: Clock;
  openSocket: OpenSocket;
  getToken: GetToken;
}

export interface ConnectionHandler {
  handleConnected(connected: Connected): void;
  handlePush(push: Extract<SessionEffect, { kind: 'push' }>['push']): void;
  handleReply(id: number, result: Result): void;
  handleLost(): void;
  handleForget(): void;
  handleStatus(): void;
  /** A frame's messages are all through. */
  handleSettled(): void;
}

export class Connection {
  readonly session: Session;
  readonly #options: ConnectionOptions;
  readonly #codec: Codec;
  readonly #handler: ConnectionHandler;
  #socket: Socket | null = null;
  #cancelTimer: (() => void) | null = null;
  #running = false;

  constructor(options: ConnectionOptions, handler: ConnectionHandler) {
    this.#options = options;
    this.#handler = handler;
    this.#codec = codecOf(options.codec);
    this.session = new Session(options);
  }

  get live(): boolean {
    return this.session.status.kind === 'live';
  }

  start(): void {
    this.session.start();
    this.#run();
  }

  stop(): void {
    this.session.stop();
    this.#run();
  }

  wake(): void {
    this.session.handleWake(this.#options.clock.now());
    this.#run();
  }

  /** Puts a command on the wire and gives its id; null without a live connection. */
  send(command: Command): number | null {
    if (!this.live || !this.#socket) return null;
    const id = this.session.takeId();
    this.#write(id, command);
    return id;
  }

  #run(): void {
    // An effect's handler may call in here again; the outer round then goes on with what it left.
    if (this.#running) return;
    this.#running = true;
    try {
      for (let effects = this.session.poll(); effects.length > 0; effects = this.session.poll()) {
        for (const effect of effects) this.#perform(effect);
      }
    } finally {
      this.#running = false;
    }
    this.#arm();
  }

  #perform(effect: SessionEffect): void {
    switch (effect.kind) {
      case 'get_token':
        return void this.#fetchToken(effect.fresh);
      case 'open':
        return this.#open();
      case 'close':
        return this.#close();
      case 'send':
        return this.#write(effect.id, effect.command);
      case 'connected':
        return this.#handler.handleConnected(effect.connected);
      case 'push':
        return this.#handler.handlePush(effect.push);
      case 'reply':
        return this.#handler.handleReply(effect.id, effect.result);
      case 'lost':
        return this.#handler.handleLost();
      case 'forget':
        return this.#handler.handleForget();
      case 'status':
        return this.#handler.handleStatus();
    }
  }

  #arm(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    const due = this.session.deadline();
    if (due === null || due === Number.POSITIVE_INFINITY) return;
    const { clock } = this.#options;
    this.#cancelTimer = clock.after(Math.max(0, due - clock.now()), () => {
      this.session.handleTimer(clock.now());
      this.#run();
    });
  }

  async #fetchToken(fresh: boolean): Promise<void> {
    const { clock, getToken } = this.#options;
    try {
      const token = await getToken({ fresh });
      if (token === null) this.session.handleTokenRefused();
      else this.session.handleToken(token, clock.now());
    } catch {
      this.session.handleTokenFailed(clock.now());
    }
    this.#run();
  }

  #open(): void {
    this.#close();
    const { clock, openSocket, url } = this.#options;
    let socket: Socket;
    try {
      socket = openSocket(url, [this.#codec.subprotocol]);
    } catch {
      this.session.handleClosed(1006, clock.now());
      return;
    }
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => {
      this.session.handleOpen(clock.now());
      this.#run();
    };
    socket.onmessage = ({ data }) => {
      this.session.handleFrame(this.#codec.decode(data as string | ArrayBuffer), clock.now());
      this.#run();
      this.#handler.handleSettled();
    };
    socket.onclose = ({ code }) => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      this.session.handleClosed(code, clock.now());
      this.#run();
    };
    // A close always follows, and says the same.
    socket.onerror = () => {};
    this.#socket = socket;
  }

  #close(): void {
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.onerror = () => {};
    try {
      socket.close(1000);
    } catch {
      // One that is not open yet may refuse; nobody listens to it any more.
    }
  }

  #write(id: number, command: Command): void {
    try {
      this.#socket?.send(this.#codec.encode(id, command));
    } catch {
      // The close event is on its way.
    }
  }
}
