// An emulated operator inside the page: IWER's headset, and hands that follow a given movement.
// It sees what a person would: whether the robot is engaged, and where its palm is.

const MIRROR = [1, -1, -1, 0, -1, 1, 1, 0, -1, 1, 1, 0, -1, 1, 1, 1]; // IWER stores left hands
const ROW_RATE = 30;
const PRESS = 150; // ms

const times = (a, b) => {
  const [ax, ay, az, aw] = a;
  const [bx, by, bz, bw] = b;
  return [
    aw * bx + ax * bw + ay * bz - az * by,
    aw * by - ax * bz + ay * bw + az * bx,
    aw * bz + ax * by - ay * bx + az * bw,
    aw * bw - ax * bx - ay * by - az * bz,
  ];
};
const inverse = ([x, y, z, w]) => [-x, -y, -z, w];
const turn = (q, [x, y, z]) => times(times(q, [x, y, z, 0]), inverse(q)).slice(0, 3);
const add = (a, b, factor = 1) => a.map((value, i) => value + factor * b[i]);
/** From a, at most `most` towards b. */
const towards = (a, b, most) => {
  const way = add(b, a, -1);
  const length = Math.hypot(...way);
  return length > most ? add(a, way, most / length) : b;
};

class Emulator {
  constructor() {
    this.device = new IWER.XRDevice(IWER.metaQuest3, { stereoEnabled: true });
    this.device.installRuntime({ forceInstall: true });
    this.device.position.set(0, 1.55, 0);
    this.device.quaternion.set(-0.3, 0, 0, 0.954);
    this.mode = "controller";
    this.lost = new Set();
    this.still = false;
    this.at = [0.1, 1.1, -0.5];
    setInterval(() => this.tremble(), 15);
    // IWER calls every position emulated, which means to a page that tracking is lost
    Object.defineProperty(IWER.XRPose.prototype, "emulatedPosition", { get: () => this.lost.has("all") });
    const getJointPose = IWER.XRFrame.prototype.getJointPose;
    const lost = this.lost;
    IWER.XRFrame.prototype.getJointPose = function (joint, space) {
      return lost.has("all") || lost.has(joint.jointName) ? null : getJointPose.call(this, joint, space);
    };
  }

  /** `ranges`: open and closed bends of thumb rotation, thumb, index, middle, ring. */
  begin(mode, ranges) {
    this.mode = mode;
    this.ranges = ranges;
    this.device.primaryInputMode = mode;
    for (const side of ["left", "right"]) {
      const hand = this.device.hands[side];
      hand[IWER.P_HAND_INPUT].poses.made = { jointTransforms: {} };
      this.bend(side, [0, 0, 0, 0, 0]);
      hand.poseId = "made";
    }
    this.device.hands.left.position.set(-0.3, 1.0, -0.3);
    this.device.controllers.left.position.set(-0.3, 1.0, -0.3);
  }

  /** Gives a hand the joints of the flexions; the thumb touches the joint `pinch`. */
  bend(side, flexion, pinch = 0) {
    const bends = flexion.map((f, i) => this.ranges[0][i] + f * (this.ranges[1][i] - this.ranges[0][i]));
    const mirrored = side === "left" ? -1 : 1;
    const joints = [[0, 0, 0]];
    const u = [-Math.cos(bends[0]), -Math.sin(bends[0]), 0];
    let [x, y, z, angle] = [-0.03, 0, -0.03, 0.6];
    for (const length of [0, 0.045, 0.035, 0.025]) {
      x += length * u[0] * Math.cos(angle);
      y += length * u[1] * Math.cos(angle);
      z -= length * Math.sin(angle);
      if (length) angle += bends[1] / 2;
      joints.push([x, y, z]);
    }
    [2, 3, 4, 4].forEach((servo, finger) => {
      let [px, py, pz, turned] = [-0.02 + 0.02 * finger, 0, -0.03, 0];
      joints.push([px, py, pz]);
      for (const length of [0.06, 0.045, 0.028, 0.022]) {
        py -= length * Math.sin(turned);
        pz -= length * Math.cos(turned);
        turned += bends[servo] / 3;
        joints.push([px, py, pz]);
      }
    });
    if (pinch) joints[4] = joints[pinch];
    const hand = this.device.hands[side];
    const transforms = hand[IWER.P_HAND_INPUT].poses.made.jointTransforms;
    [...hand.inputSource.hand.keys()].forEach((name, i) => {
      const [jx, jy, jz] = joints[i];
      const matrix = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, mirrored * jx, jy, jz, 1];
      const stored = side === "right" ? matrix.map((value, k) => value * MIRROR[k]) : matrix;
      transforms[name] = { offsetMatrix: new Float32Array(stored), radius: 0.008 };
    });
  }

  clutch(pressed) {
    if (this.mode === "hand") this.bend("left", [0, 0, 0, 0, 0], pressed && 9);
    else this.device.controllers.right.updateButtonValue("a-button", pressed ? 1 : 0);
  }

  /** Asks for the next episode. */
  async again() {
    const left = this.device.controllers.left;
    for (const pressed of [true, false]) {
      if (this.mode === "hand") this.bend("left", [0, 0, 0, 0, 0], pressed && 14);
      else left.updateButtonValue("x-button", pressed ? 1 : 0);
      await new Promise((resolve) => setTimeout(resolve, PRESS));
    }
  }

  get held() {
    return this.mode === "hand" ? this.device.hands.right : this.device.controllers.right;
  }

  /** No hand is held so still that its measured pose stays the same bit by bit. */
  tremble() {
    const [x, y, z] = this.at;
    if (!this.still) this.held.position.set(x + 1e-5 * Math.random(), y, z);
  }

  place([x, y, z], [qx, qy, qz, qw], flexion) {
    const held = this.held;
    this.at = [x, y, z];
    if (this.still) held.position.set(x, y, z);
    else this.tremble();
    held.quaternion.set(qx, qy, qz, qw);
    if (this.mode === "hand") {
      this.bend("right", flexion);
    } else {
      held.updateButtonValue("trigger", flexion[2]);
      held.updateButtonValue("squeeze", flexion[3]);
    }
  }

  /** Where a body is. */
  seen(body) {
    const connection = globalThis.gymGrasp;
    const index = connection.manifest.bodies.indexOf(body);
    const pose = [...connection.scene.poses.slice(7 * index, 7 * index + 7)];
    return { position: pose.slice(0, 3), quaternion: pose.slice(3) };
  }

  robot() {
    return this.seen("hand/palm");
  }

  /** Presses the clutch until the robot is engaged. */
  async engage() {
    this.place([0.1, 1.1, -0.5], [0, 0, 0, 1], [1, 0, 0, 0, 0]);
    for (let tries = 0; document.body.dataset.state !== "engaged" && tries < 30; tries++) {
      this.clutch(tries % 2 === 1);
      await new Promise((resolve) => setTimeout(resolve, PRESS));
    }
    this.clutch(false);
  }

  /** Notes [level, ms] of every pulse of the right controller. */
  countPulses() {
    this.pulses = [];
    const actuator = this.device.controllers.right.inputSource.gamepad.hapticActuators[0];
    actuator.pulse = async (level, ms) => this.pulses.push([level, ms]);
  }

  /** Follows rows of robot wrist poses and flexions, as far as the robot is engaged. */
  async follow(rows, speed, until = Infinity) {
    let [time, last, pressed] = [0, performance.now(), performance.now()];
    let hand = { position: [0.1, 1.1, -0.5], quaternion: [0, 0, 0, 1] };
    let start = null;
    while (document.body.dataset.state !== "done" && time < until) {
      await new Promise(requestAnimationFrame);
      const now = performance.now();
      if (document.body.dataset.state === "engaged") {
        this.clutch(false);
        start ??= { robot: this.robot(), hand };
        time += ((now - last) / 1000) * speed;
        const row = rows[Math.min(rows.length - 1, Math.floor(time * ROW_RATE))];
        const moved = row.slice(0, 3).map((value, i) => value - start.robot.position[i]);
        const turned = times(row.slice(3, 7), inverse(start.robot.quaternion));
        hand = {
          position: start.hand.position.map((value, i) => value + moved[i]),
          quaternion: times(turned, start.hand.quaternion),
        };
        this.place(hand.position, hand.quaternion, row.slice(7));
      } else {
        start = null;
        this.place(hand.position, hand.quaternion, rows[Math.min(rows.length - 1, Math.floor(time * ROW_RATE))].slice(7));
        if (now - pressed > 2 * PRESS) pressed = now;
        this.clutch(now - pressed < PRESS);
      }
      last = now;
    }
    this.clutch(false);
    return time;
  }
}

/** A person who looks where hand and thing are, takes the thing and carries it away. */
class Person {
  constructor(emulator) {
    this.emulator = emulator;
  }

  /**
   * Tries until the episode is over, at most a few times.
   * `plan`: `body`, `point` in its frame, `place` of that in the palm's frame, `pitch`, `before`
   * and `carry` [m], `ready` and `grip`, `pace` [m/s].
   */
  async take(plan, tries = 4) {
    this.hand = { position: [0.1, 1.1, -0.5], quaternion: [0, 0, 0, 1] };
    this.flexion = [1, 0, 0, 0, 0];
    this.start = null;
    this.level ??= this.emulator.robot().quaternion;
    for (let attempt = 0; attempt < tries && !this.over; attempt++) {
      const thing = this.emulator.seen(plan.body);
      const wrist = times([-Math.sin(plan.pitch / 2), 0, 0, Math.cos(plan.pitch / 2)], this.level);
      const point = add(thing.position, turn(thing.quaternion, plan.point));
      const grasp = add(point, turn(wrist, plan.place), -1);
      await this.move(add(grasp, plan.before), wrist, plan.ready, plan.pace);
      await this.move(grasp, wrist, plan.ready, 0.5 * plan.pace);
      await this.move(grasp, wrist, plan.grip, plan.pace);
      await this.move(add(grasp, plan.carry), wrist, plan.grip, plan.pace);
      await this.rest(1000); // what was reached is kept for a moment
      if (!this.over) await this.move(add(grasp, plan.before), wrist, plan.ready, plan.pace);
    }
    this.emulator.clutch(false);
    return document.body.dataset.success === "true";
  }

  get over() {
    return document.body.dataset.state === "done";
  }

  async rest(ms) {
    for (const end = performance.now() + ms; performance.now() < end && !this.over; ) await this.frame();
  }

  /** Brings the robot's palm there, as a person does who sees it; gives up after a while. */
  async move(position, quaternion, flexion, pace) {
    const end = performance.now() + 6000;
    while (!this.over && performance.now() < end) {
      const seconds = await this.frame();
      if (!this.start) continue;
      this.flexion = towards(this.flexion, flexion, 1.5 * seconds);
      const { robot, hand } = this.start;
      const goal = add(hand.position, add(position, robot.position, -1));
      const turned = times(times(quaternion, inverse(robot.quaternion)), hand.quaternion);
      this.hand.position = towards(this.hand.position, goal, pace * seconds);
      const sign = Math.sign(turned.reduce((sum, value, i) => sum + value * this.hand.quaternion[i], 0)) || 1;
      const next = towards(this.hand.quaternion, turned.map((value) => sign * value), 0.5 * seconds);
      this.hand.quaternion = next.map((value) => value / Math.hypot(...next));
      this.emulator.place(this.hand.position, this.hand.quaternion, this.flexion);
      const there = Math.hypot(...add(this.emulator.robot().position, position, -1)) < 0.01;
      if (there && Math.hypot(...add(this.flexion, flexion, -1)) < 1e-3) return;
    }
  }

  /** Waits for the next frame, the clutch pressed until the robot is engaged; returns its seconds. */
  async frame() {
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    const seconds = Math.min(0.1, (now - (this.last ?? now)) / 1000);
    this.last = now;
    if (document.body.dataset.state === "engaged") {
      this.emulator.clutch(false);
      this.start ??= { robot: this.emulator.robot(), hand: { ...this.hand } };
    } else {
      this.start = null;
      this.emulator.place(this.hand.position, this.hand.quaternion, this.flexion);
      this.emulator.clutch(now % (3 * PRESS) < PRESS); // last: IWER's hands share their joints
    }
    return seconds;
  }
}

globalThis.emulator = new Emulator();
globalThis.person = new Person(globalThis.emulator);
