// Touch for those who have no glove: heard, and felt in the controllers.

import type { SceneMessage } from "./protocol";

const PULSE = 40; // ms; a dead connection must not leave anything vibrating
const PITCH = 160; // Hz
const LOUDEST = 0.25;

export class Feedback {
  private gain: GainNode | undefined;

  /** Browsers let a page make sound only after a click. */
  start(): void {
    if (this.gain) return;
    const context = new AudioContext();
    const tone = context.createOscillator();
    tone.frequency.value = PITCH;
    tone.type = "triangle";
    this.gain = context.createGain();
    this.gain.gain.value = 0;
    tone.connect(this.gain).connect(context.destination);
    tone.start();
  }

  feel(scene: SceneMessage | undefined, sources: Iterable<XRInputSource>): void {
    const level = scene ? Math.min(1, Math.max(0, ...scene.vibration)) : 0;
    if (this.gain) this.gain.gain.setTargetAtTime(LOUDEST * level, this.gain.context.currentTime, 0.01);
    if (level < 0.02) return;
    for (const source of sources) {
      if (source.handedness !== "right") continue;
      const actuator = source.gamepad?.hapticActuators?.[0] as { pulse?: (level: number, ms: number) => void } | undefined;
      actuator?.pulse?.(level, PULSE);
    }
  }
}
