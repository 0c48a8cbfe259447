// What a headset knows about head and hands in one frame.

import type { WebGLRenderer } from "three";
import type { Connection } from "./connection";
import type { Person } from "./person";
import { Flag, JOINTS, Kind, LEFT, RIGHT, type InputMessage } from "./protocol";
import type { Means } from "./words";

const STICK = 3; // the thumbstick's button of a gamepad with the mapping "xr-standard"
const THUMB_TIP = 4;
const LITTLE_TIP = 24;
const [PINCH, PART] = [0.015, 0.03]; // m, as the host has it for the other fingers
const LONG = 1500; // ms
const SETTLING = 150; // ms for which a re-centred headset is told, so that no message is missed

/** Puts a pose into seven numbers. */
function flat(transform: XRRigidTransform): number[] {
  const { position: p, orientation: q } = transform;
  return [p.x, p.y, p.z, q.x, q.y, q.z, q.w];
}

/** The one control that the page itself looks at: the left stick, or left thumb and little finger. */
class Extra {
  private since = 0;
  private spent = true;

  constructor(private onShort: () => void, private onLong: () => void) {}

  update(pressed: boolean, now: number): void {
    if (pressed && this.since === 0) {
      this.since = now;
      this.spent = false;
    }
    if (pressed && !this.spent && now - this.since > LONG) {
      this.spent = true;
      this.onLong();
    }
    if (!pressed && this.since > 0) {
      if (!this.spent) this.onShort();
      this.since = 0;
    }
  }
}

/** Resolves to whether there is a headset to enter. */
export async function headsetIsThere(): Promise<boolean> {
  return (await navigator.xr?.isSessionSupported("immersive-vr")) ?? false;
}

/**
 * Enters the headset; the person's hands are gone as it is taken off.
 * @param ended it has been taken off.
 */
export async function enterHeadset(
  renderer: WebGLRenderer,
  connection: Connection,
  person: Person,
  ended: () => void,
): Promise<void> {
  const session = await navigator.xr!.requestSession("immersive-vr", {
    requiredFeatures: ["local-floor"],
    optionalFeatures: ["hand-tracking"],
  });
  session.addEventListener("end", () => {
    connection.headset(false);
    person.begin();
    person.end();
    ended();
  });
  connection.headset(true);
  await renderer.xr.setSession(session);
}

export class Headset {
  means: Means = "controller";
  private space: XRReferenceSpace | undefined;
  private recentred = -Infinity;
  private pinched = false;
  private extra: Extra;

  /**
   * @param onShort the extra control was pressed.
   * @param onLong it was held for a while.
   */
  constructor(private person: Person, onShort: () => void, onLong: () => void) {
    this.extra = new Extra(onShort, onLong);
  }

  /** Fills in head, hands and buttons, as far as they are tracked. */
  capture(message: InputMessage, frame: XRFrame, space: XRReferenceSpace): void {
    this.follow(space);
    const now = performance.now();
    if (now - this.recentred < SETTLING) message.addFlags(Flag.recentred);
    const head = frame.getViewerPose(space);
    if (head) message.head(flat(head.transform));
    if (frame.session.visibilityState === "visible") message.addFlags(Flag.visible);
    this.person.begin();
    let extra = false;
    for (const source of frame.session.inputSources) {
      if (source.handedness === "none") continue;
      const side = source.handedness === "left" ? LEFT : RIGHT;
      if (side === RIGHT) this.means = source.hand ? "hand" : "controller";
      if (source.hand) extra = this.captureHand(message, frame, space, source.hand, side) || extra;
      else extra = this.captureController(message, frame, space, source, side) || extra;
    }
    this.person.end();
    this.extra.update(extra, now);
  }

  private follow(space: XRReferenceSpace): void {
    if (space === this.space) return;
    this.space = space;
    space.addEventListener("reset", () => (this.recentred = performance.now()));
  }

  private captureHand(message: InputMessage, frame: XRFrame, space: XRReferenceSpace, hand: XRHand, side: number): boolean {
    let index = 0;
    const tips: DOMPointReadOnly[] = [];
    for (const joint of hand.values()) {
      if (index >= JOINTS) break;
      // one by one: a joint that is lost must not take the others with it
      const pose = frame.getJointPose?.(joint, space) ?? undefined;
      if (pose) {
        const numbers = flat(pose.transform);
        message.joint(side, index, numbers, pose.radius ?? 0);
        if (index === 0) message.hand(side, Kind.hand, numbers);
        if (index === THUMB_TIP || index === LITTLE_TIP) tips.push(pose.transform.position);
      }
      this.person.joint(side, index, pose);
      index++;
    }
    if (side === RIGHT) return false;
    const [thumb, little] = tips;
    if (!thumb || !little) return (this.pinched = false);
    const distance = Math.hypot(thumb.x - little.x, thumb.y - little.y, thumb.z - little.z);
    return (this.pinched = distance < (this.pinched ? PART : PINCH));
  }

  private captureController(
    message: InputMessage,
    frame: XRFrame,
    space: XRReferenceSpace,
    source: XRInputSource,
    side: number,
  ): boolean {
    const buttons = source.gamepad?.buttons ?? [];
    const pose = source.gripSpace && frame.getPose(source.gripSpace, space);
    if (pose && !pose.emulatedPosition) {
      this.person.controller(side, pose);
      message.hand(side, Kind.controller, flat(pose.transform));
      message.values(side, [buttons[0]?.value ?? 0, buttons[1]?.value ?? 0]);
      message.buttons(
        side,
        buttons.reduce((bits, button, index) => bits | (Number(button.pressed) << index), 0),
      );
    }
    return side === LEFT && (buttons[STICK]?.pressed ?? false);
  }
}
