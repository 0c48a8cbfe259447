// What is heard: tones for what happens, or the words spoken, or neither.

import type { Connection } from "./connection";
import type { Words } from "./words";

const MODES = ["off", "tones", "voice"] as const;
type Mode = (typeof MODES)[number];

/** Frequencies [Hz] of each event, one after the other. */
const TONES: Record<string, number[]> = {
  engaged: [440, 660],
  paused: [440, 330],
  success: [523, 659, 784],
  failure: [330, 262],
  asked: [880, 880],
  offline: [262],
};
const LENGTH = 0.12; // s
const LOUDNESS = 0.12;
const KEY = "gym-grasp cues";

export class Cues {
  mode: Mode;
  private before = "";
  private context: AudioContext | undefined;

  constructor() {
    const kept = localStorage.getItem(KEY) as Mode;
    this.mode = MODES.includes(kept) ? kept : "off";
  }

  /** Goes on to the next way of being heard, and says which. */
  change(): void {
    this.mode = MODES[(MODES.indexOf(this.mode) + 1) % MODES.length]!;
    localStorage.setItem(KEY, this.mode);
    if (this.mode === "tones") this.play("engaged");
    else if (this.mode === "voice") this.speak("Voice on");
    else speechSynthesis?.cancel();
  }

  /** Lets what happened since the last call be heard. */
  hear(connection: Connection, words: Words): void {
    const { status } = connection;
    const asked = connection.role === "drive" && status?.asked;
    const done = status?.success ? "success" : "failure";
    const event = asked ? "asked" : words.state === "done" ? done : words.state;
    if (event === this.before) return;
    this.before = event;
    if (this.mode === "tones") this.play(event);
    else if (this.mode === "voice" && event !== "engaged") this.speak(`${words.title}. ${words.notice} ${words.next}`);
  }

  private play(event: string): void {
    const context = (this.context ??= new AudioContext());
    (TONES[event] ?? []).forEach((frequency, index) => {
      const [tone, gain] = [context.createOscillator(), context.createGain()];
      const start = context.currentTime + index * LENGTH;
      tone.frequency.value = frequency;
      gain.gain.setValueAtTime(LOUDNESS, start);
      gain.gain.exponentialRampToValueAtTime(0.001, start + 2 * LENGTH);
      tone.connect(gain).connect(context.destination);
      tone.start(start);
      tone.stop(start + 2 * LENGTH);
    });
  }

  private speak(text: string): void {
    if (!("speechSynthesis" in globalThis)) return;
    speechSynthesis.cancel();
    speechSynthesis.speak(new SpeechSynthesisUtterance(text));
  }
}
