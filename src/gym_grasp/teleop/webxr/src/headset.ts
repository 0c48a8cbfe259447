// What a headset knows about head and hands in one frame.

import { Flag, JOINTS, Kind, LEFT, RIGHT, type InputMessage } from "./protocol";

/** Puts a pose into seven numbers. */
function flat(transform: XRRigidTransform): number[] {
  const { position: p, orientation: q } = transform;
  return [p.x, p.y, p.z, q.x, q.y, q.z, q.w];
}

/** Fills in head, hands and buttons, as far as they are tracked. */
export function captureHeadset(
  message: InputMessage,
  frame: XRFrame,
  space: XRReferenceSpace,
  onJoint: (side: number, index: number, pose: XRJointPose | undefined) => void,
): void {
  const head = frame.getViewerPose(space);
  if (head) message.head(flat(head.transform));
  if (frame.session.visibilityState === "visible") message.addFlags(Flag.visible);
  for (const source of frame.session.inputSources) {
    if (source.handedness === "none") continue;
    const side = source.handedness === "left" ? LEFT : RIGHT;
    if (source.hand) captureHand(message, frame, space, source.hand, side, onJoint);
    else captureController(message, frame, space, source, side);
  }
}

function captureHand(
  message: InputMessage,
  frame: XRFrame,
  space: XRReferenceSpace,
  hand: XRHand,
  side: number,
  onJoint: (side: number, index: number, pose: XRJointPose | undefined) => void,
): void {
  let index = 0;
  for (const joint of hand.values()) {
    if (index >= JOINTS) break;
    // one by one: a joint that is lost must not take the others with it
    const pose = frame.getJointPose?.(joint, space) ?? undefined;
    if (pose) {
      const numbers = flat(pose.transform);
      message.joint(side, index, numbers, pose.radius ?? 0);
      if (index === 0) message.hand(side, Kind.hand, numbers);
    }
    onJoint(side, index, pose);
    index++;
  }
}

function captureController(
  message: InputMessage,
  frame: XRFrame,
  space: XRReferenceSpace,
  source: XRInputSource,
  side: number,
): void {
  const pose = source.gripSpace && frame.getPose(source.gripSpace, space);
  if (!pose || pose.emulatedPosition) return;
  message.hand(side, Kind.controller, flat(pose.transform));
  const buttons = source.gamepad?.buttons ?? [];
  message.values(side, [buttons[0]?.value ?? 0, buttons[1]?.value ?? 0]);
  message.buttons(
    side,
    buttons.reduce((bits, button, index) => bits | (Number(button.pressed) << index), 0),
  );
}
