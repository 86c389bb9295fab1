/** Who speaks in the call, how loud, and who has the floor. */

/** −dBov at which somebody counts as silent. */
const QUIET_DBOV = 70;

export class Speakers {
  #levels = new Map<string, number>();
  /** Who has the floor; empty for nobody. */
  active = '';

  /** From 0 to 1. */
  level(participant: string): number {
    const dbov = this.#levels.get(participant);
    return dbov === undefined ? 0 : Math.max(0, Math.min(1, 1 - dbov / QUIET_DBOV));
  }

  speaking(participant: string): boolean {
    return this.#levels.has(participant);
  }

  /** True: somebody else has the floor now. */
  handleSpeakers(speakers: readonly { participant: string; level: number }[], active: string): boolean {
    this.#levels = new Map(speakers.map((s) => [s.participant, s.level]));
    const isAnother = active !== this.active;
    this.active = active;
    return isAnother;
  }

  clear(): void {
    this.#levels.clear();
    this.active = '';
  }
}
