// What the operator is told: where things stand, what to press, and what the hand will do then.

import type { Connection } from "./connection";
import type { Status } from "./protocol";

/** What the operator holds or touches. */
export type Means = "keyboard" | "touch" | "controller" | "hand";

interface Names {
  clutch: string;
  next: string;
  discard: string;
  /** Hands the robot over, or asks for it. */
  pass: string;
  /** How the hand is moved. */
  moves: string;
}

const NAMES: Record<Means, Names> = {
  keyboard: {
    clutch: "Space",
    next: "Enter",
    discard: "Delete",
    pass: "Y",
    moves: "W A S D move the hand as you look, E and Q up and down, the arrow keys turn it, F closes and G opens the fingers.",
  },
  touch: {
    clutch: "Start",
    next: "Next",
    discard: "Discard",
    pass: "Hand over",
    moves: "Drag in the picture or hold the arrows to move the hand; Close and Open move the fingers.",
  },
  controller: {
    clutch: "A on the right controller",
    next: "B on the right controller",
    discard: "Y on the left controller",
    pass: "the left stick",
    moves: "The robot's hand follows your right controller; trigger and grip close the fingers.",
  },
  hand: {
    clutch: "left thumb and index finger together",
    next: "left thumb and middle finger together",
    discard: "left thumb and ring finger together",
    pass: "left thumb and little finger together",
    moves: "The robot's hand follows your right hand, and its fingers bend as yours do.",
  },
};

const MOVERS: Record<string, string> = {
  synthetic: "The synthetic operator drives; you watch.",
  playback: "A recording is played; you watch.",
};

const STATES: Record<string, string> = {
  waiting: "Ready",
  engaged: "Moving",
  paused: "Stopped",
  done: "Done",
  offline: "Offline",
  over: "Over",
};

const AT_LIMIT = "The robot's hand is at its limit: move yours back.";

export interface Words {
  /** For colours: the session's state, or offline, or over. */
  state: string;
  title: string;
  task: string;
  goal: string;
  /** What happened. */
  notice: string;
  /** What to press, and what comes of it. */
  next: string;
  /** How the hand is moved; empty once that is known. */
  moves: string;
  progress: number;
  numbers: string;
  latency: string;
}

export function describe(connection: Connection, means: Means): Words {
  const { status, over } = connection;
  const nothing = { task: "", goal: "", moves: "", progress: 0, numbers: "", latency: "" };
  if (over) {
    const kept = over.path ? `${over.kept} episodes are in ${over.path}.` : "Nothing was kept.";
    return { ...nothing, state: "over", title: STATES["over"]!, notice: `The session is over. ${kept}`, next: over.next.join("\n") };
  }
  if (!connection.online || !status) {
    const notice = connection.problem || "Connecting …";
    return { ...nothing, state: "offline", title: STATES["offline"]!, notice, next: "" };
  }
  const drives = connection.role === "drive";
  const atLimit = status.state === "engaged" && status.at_limit;
  return {
    state: status.state,
    title: STATES[status.state]!,
    task: status.task + (drives ? "" : " · watching"),
    goal: `Goal: ${status.summary}`,
    notice: (atLimit && AT_LIMIT) || status.guide || status.notice,
    next: drives ? steps(status, NAMES[means]) : watching(connection, status, NAMES[means]),
    moves: drives && status.state !== "done" ? NAMES[means].moves : "",
    progress: Math.min(1, Math.max(0, status.progress)),
    numbers: numbers(status),
    latency: latency(connection, status),
  };
}

/** What the one who drives may do now. */
function steps(status: Status, names: Names): string {
  const { clutch, next, discard } = names;
  const press = status.hold ? "Hold" : "Press";
  if (status.asked) return `A visitor asks to drive. ${names.pass}: hand over. Go on moving to keep the robot.`;
  switch (status.state) {
    case "waiting":
      return `${press} ${clutch} to start: from then on the robot's hand moves as yours does.`;
    case "engaged":
      return status.hold ? `Let go of ${clutch} to stop.` : `${clutch} stops the hand; ${next} gives up and begins anew.`;
    case "paused":
      return `${press} ${clutch} to go on; ${next} gives up and begins anew.`;
    case "done":
      if (!status.success) return `Try again: ${next}.`;
      return `Next episode: ${next}. Not good enough? ${discard} discards it, which is no failure.`;
  }
}

/** What one who watches is told. */
function watching(connection: Connection, status: Status, names: Names): string {
  if (status.driver === "device") return device(status);
  const ask = names.pass === "Y" ? "T" : names.pass === "Hand over" ? "the button" : names.pass;
  if (connection.asks) return "You asked to drive; the operator has 15 seconds to answer.";
  if (connection.note) return connection.note;
  if (status.driver === "page") return `Another person drives, and you watch. Press ${ask} to ask for the robot.`;
  if (status.driver === "kept")
    return `The operator has lost the connection, and the robot is kept for a while. Press ${ask} to ask for it.`;
  return `Nobody drives. Press ${ask} to take control.`;
}

function device({ moved_by, controls, state, success }: Status): string {
  if (!controls) return MOVERS[moved_by] ?? "A device on the host drives; you watch.";
  if (state !== "done") return `${controls.clutch} starts and stops the hand; ${controls.reset} begins anew.`;
  const next = `Next episode: ${controls.next}.`;
  return success ? `${next} ${controls.discard} discards the success, which is no failure.` : next;
}

function numbers(status: Status): string {
  const before = status.earlier.reduce((sum, { kept, failed }) => ({ kept: sum.kept + kept, failed: sum.failed + failed }), {
    kept: 0,
    failed: 0,
  });
  const minutes = Math.floor(status.session_time / 60);
  const seconds = String(status.session_time % 60).padStart(2, "0");
  return [
    `${status.kept} kept${status.wanted ? ` of ${status.wanted}` : ""}, ${status.failed} failed`,
    status.dropped > 0 && `${status.dropped} discarded`,
    status.earlier.length > 0 && `${before.kept} kept, ${before.failed} failed in other tasks`,
    !status.recorded && "not recorded",
    `session ${minutes}:${seconds}`,
    `episode ${status.time.toFixed(1)} of ${status.time_limit.toFixed(0)} s`,
  ]
    .filter(Boolean)
    .join(" · ");
}

function latency(connection: Connection, status: Status): string {
  const loop = status.latency["input_to_shown"] ?? status.latency["input_to_state"];
  return [
    loop && `latency ${loop.p50_ms.toFixed(0)} ms, p99 ${loop.p99_ms.toFixed(0)} ms`,
    `network ${(1000 * connection.roundTrip).toFixed(1)} ms`,
    `${status.late + status.skipped} late ticks`,
  ]
    .filter(Boolean)
    .join(" · ");
}

/** Rows for a table of controls, in the headset. */
export function controls(means: Means): [string, string][] {
  if (means === "hand")
    return [
      ["Start, stop", "left thumb + index"],
      ["Next, or give up", "left thumb + middle"],
      ["Discard", "left thumb + ring"],
      ["Ask, hand over", "left thumb + little"],
      ["Another task", "hold thumb + little"],
      ["Move", "your right hand"],
      ["Fingers", "as yours"],
    ];
  return [
    ["Start, stop", "right A"],
    ["Next, or give up", "right B, left X"],
    ["Discard", "left Y"],
    ["Ask, hand over", "press left stick"],
    ["Another task", "hold left stick"],
    ["Move", "right controller"],
    ["Fingers", "trigger, grip"],
  ];
}
