// The page that shows: what the host streams, and what a person asks it for.

import { INSET, Charts } from "./charts";
import { Connection } from "./connection";
import { readLink, withLink, type Link } from "./link";
import { drawnInSoftware } from "../software";
import { clock, element, listenToKeys, listEpisodes, markEpisode, outcome } from "./page";
import { Stage } from "./stage";
import type { Asked, Moment, Opened, Rows, Status, Told, Welcome } from "./wire";

const POINT_PERIOD = 100; // ms between two moves of the cursor
const DRAW_PERIOD = drawnInSoftware() ? 300 : 100; // ms between two drawings of the curves while they grow
const LINK_PERIOD = 400; // ms between two changes of the address: browsers allow few
const SHORTEST = 90; // moments that the timeline has room for at least
const KINDS = { episode: "recorded", policy: "policy", operator: "operator", nobody: "nobody acts" };

const timeline = element<HTMLInputElement>("timeline");
const stage = new Stage(element<HTMLCanvasElement>("view"), (pull) =>
  ask(
    pull
      ? { type: "drag", side: pull.side, body: pull.body, point: pull.point.toArray(), to: pull.to.toArray() }
      : { type: "release" },
  ),
);

const ask = (message: Asked) => connection.ask(message);

let welcome: Welcome | undefined;
let status: Status | undefined;
let moment: Moment | undefined;
let charts: Charts[] = [];
let opened: (Opened | undefined)[] = [];
let wanted: Link | undefined = readLink(location.hash);
let pointed = 0;
let charted = 0;
let linked = 0;
let scrubbed = 0;

// What the host says -----------------------------------------------------------------------------

function onTold(told: Told | Moment | Rows): void {
  if (told.type === "welcome") onWelcome(told);
  else if (told.type === "opened") onOpened(told);
  else if (told.type === "status") onStatus(told);
  else if (told.type === "moment") onMoment(told);
  else if (told.type === "rows") {
    charts[told.side]?.table.put(told.first, told.count, told.width, told.values);
    refresh();
  }
}

function onClosed(reason: string): void {
  document.body.dataset["state"] = "offline";
  say(reason);
}

function onWelcome(told: Welcome): void {
  welcome = told;
  moment = undefined;
  stage.live = told.sides.map(({ kind }) => kind !== "episode");
  document.title = `${told.sides.map(({ name }) => name.split("/").pop()).join(" and ")} – gym-grasp`;
  element("task").textContent = told.sides[0]!.task;
  element("summary").textContent = told.sides[0]!.summary;
  element("seeding").hidden = told.episodes !== null;
  element("loop-label").title = told.episodes ? "the next episode follows by itself" : "the next seed follows by itself";
  const marks = told.sides.length > 1 ? ["A", "B"] : [""];
  charts = told.sides.map(
    ({ curves, name }, side) => new Charts(curves, name, marks[side]!, (share) => seek(share * last())),
  );
  opened = told.sides.map(() => undefined);
  const rows = charts[0]!.rows.flatMap((_, curve) => charts.map((one) => one.rows[curve]!));
  element("curves").replaceChildren(...rows);
  element("labels").replaceChildren(
    ...told.sides.map(({ name, kind, notice }, side) => label(marks[side]!, name, KINDS[kind], notice)),
  );
  document.body.dataset["sides"] = String(told.sides.length);
  listEpisodes(told, (episode) => ask({ type: "open", episode }));
  follow();
}

function label(mark: string, name: string, kind: string, notice: string): HTMLElement {
  const result = document.createElement("div");
  result.className = "label";
  const [strong, chip, state] = [document.createElement("strong"), document.createElement("span"), document.createElement("span")];
  strong.textContent = name.split("/").slice(-2).join("/");
  strong.title = name;
  chip.className = "chip";
  chip.textContent = kind;
  state.className = "outcome";
  if (mark) {
    const letter = document.createElement("b");
    letter.className = "mark";
    letter.textContent = mark;
    result.append(letter, " ");
  }
  result.append(strong, " ", chip, " ", state);
  if (notice) result.append(document.createElement("br"), notice);
  return result;
}

/** Goes to the moment that the address names. */
function follow(): void {
  if (!welcome || !wanted) return;
  const { episode, seed, t } = wanted;
  wanted = undefined;
  const index = t === undefined ? {} : { index: Math.round(t / welcome.period) };
  if (t !== undefined) ask({ type: "play", on: false });
  if (welcome.episodes) {
    if (episode !== undefined && episode >= welcome.episodes.length) {
      say(`There is no episode ${episode}; the last is ${welcome.episodes.length - 1}.`);
    } else if (episode !== undefined) ask({ type: "open", episode, ...index });
    else if (index.index !== undefined) ask({ type: "seek", index: index.index });
  } else if (seed !== undefined) ask({ type: "reset", seed, ...index });
  else if (index.index !== undefined) ask({ type: "reset", ...index });
}

function onOpened(told: Opened): void {
  opened[told.side] = told;
  charts[told.side]?.table.clear();
  stage.build(told.side, told.scene);
  if (told.episode !== null) markEpisode(told.episode);
  const seed = element<HTMLInputElement>("seed");
  if (document.activeElement !== seed) seed.value = told.seed;
  place();
}

function onMoment(read: Moment): void {
  moment = read;
  read.sides.forEach((seen, side) => {
    const { table } = charts[side]!;
    const brake = table.part(seen.index, ...charts[side]!.columns("brake"));
    const vibration = table.part(seen.index, ...charts[side]!.columns("vibration"));
    stage.show(side, seen, { brake, vibration });
  });
  refresh();
}

function onStatus(told: Status): void {
  status = told;
  const { playing, notice, loading, pace, speed } = told;
  document.body.dataset["state"] = loading ? "loading" : playing ? "playing" : "paused";
  document.body.dataset["held"] = String(told.held);
  document.body.dataset["outcome"] = told.sides.map((side) => side.outcome).join(" ");
  element("play").setAttribute("aria-label", playing ? "pause" : "play");
  element<HTMLInputElement>("loop").checked = told.loop;
  const chosen = element<HTMLSelectElement>("speed");
  if (document.activeElement !== chosen && [...chosen.options].some(({ value }) => Number(value) === speed)) {
    chosen.value = String(speed);
  }
  const behind = playing && !loading && pace > 0 && pace < 0.9 * speed;
  say(notice || (behind ? `this machine reaches ${pace.toFixed(2)}×` : ""));
  told.sides.forEach((side, number) => {
    const text = outcome(side);
    const state = element("labels").children[number]?.querySelector(".outcome");
    if (state && state.textContent !== text) state.textContent = text;
    state?.classList.toggle("good", side.outcome === "success");
    state?.classList.toggle("bad", !!side.outcome && side.outcome !== "success");
  });
  refresh();
}

function say(text: string): void {
  const notice = element("notice");
  if (notice.textContent !== text) notice.textContent = text;
}

// The timeline -----------------------------------------------------------------------------------

/** The moment at the timeline's right end. */
function last(): number {
  const known = Math.max(...charts.map(({ table }) => table.count), 2) - 1;
  const over = status?.sides.every((side) => side.outcome) ?? false;
  return over ? known : Math.max(SHORTEST, Math.ceil((known + 1) / SHORTEST) * SHORTEST);
}

function refresh(): void {
  if (!welcome || !moment) return;
  const { index } = moment;
  const end = last();
  timeline.max = String(end);
  if (performance.now() - scrubbed > 300) timeline.value = String(index);
  const text = clock(index, end, welcome.period);
  timeline.setAttribute("aria-valuetext", text);
  element("time").textContent = text;
  element("moment").textContent = `moment ${index}`;
  element("moment").dataset["time"] = text;
  document.body.dataset["index"] = String(index);
  document.body.dataset["known"] = charts.map(({ table }) => table.count).join(" ");
  schedule();
}

let waiting = 0;
function schedule(): void {
  if (waiting) return;
  waiting = window.setTimeout(() => {
    waiting = 0;
    pointed = performance.now();
    const due = !status?.playing || pointed - charted >= DRAW_PERIOD;
    if (due) charted = pointed;
    const ranges = charts.map((chart) => chart.ranges());
    const both = ranges[0]!.map((_, curve): [number, number] => [
      Math.min(...ranges.map((one) => one[curve]![0])),
      Math.max(...ranges.map((one) => one[curve]![1])),
    ]);
    for (const chart of charts) {
      if (due) chart.draw(last(), both);
      chart.point(moment?.index ?? 0);
    }
    remember();
  }, Math.max(0, POINT_PERIOD - (performance.now() - pointed)));
}

function seek(index: number): void {
  scrubbed = performance.now();
  timeline.value = String(Math.round(index));
  ask({ type: "seek", index: Math.round(index) });
}

/** Writes the present moment into the address. */
function remember(): void {
  if (!welcome || !moment || wanted || document.body.dataset["state"] !== "paused") return;
  if (performance.now() - linked < LINK_PERIOD) {
    setTimeout(schedule, LINK_PERIOD);
    return;
  }
  const hash = withLink(location.hash, link());
  if (hash !== location.hash) {
    linked = performance.now();
    history.replaceState(null, "", hash);
  }
}

function link(): Link {
  const t = (moment?.index ?? 0) * (welcome?.period ?? 0);
  const recorded = opened.find((one) => one && one.episode !== null);
  return recorded ? { episode: recorded.episode!, t } : { seed: opened[0]?.seed ?? "0", t };
}

/** Puts labels over their parts of the drawing, and the timeline over the curves. */
function place(): void {
  [...element("labels").children].forEach((one, side) => {
    const [left, top, width] = stage.area(side);
    const { style } = one as HTMLElement;
    style.transform = `translate(${left}px, ${top}px)`;
    style.maxWidth = `${width - 16}px`;
  });
  document.body.classList.toggle("tall", !stage.wide);
}

// What a person does -----------------------------------------------------------------------------

const on = (id: string, event: string, act: (target: HTMLInputElement) => void) =>
  element(id).addEventListener(event, ({ currentTarget }) => act(currentTarget as HTMLInputElement));

const play = () => ask({ type: "play", on: !status?.playing });
const restart = () => ask({ type: "seek", index: 0 });
const next = () => {
  const recorded = opened.find((one) => one && one.episode !== null);
  if (recorded && welcome?.episodes) ask({ type: "open", episode: (recorded.episode! + 1) % welcome.episodes.length });
  else ask({ type: "reset", seed: String((BigInt(opened[0]?.seed ?? "0") + 1n) % (1n << 63n)) });
};
const reset = () => {
  const seed = element<HTMLInputElement>("seed");
  if (welcome?.episodes) ask({ type: "reset" });
  else if (/^\d{1,19}$/.test(seed.value) && BigInt(seed.value) < 1n << 63n) ask({ type: "reset", seed: seed.value });
  else say("A seed is a whole number from 0 to 2⁶³ − 1.");
};

on("play", "click", play);
on("restart", "click", restart);
on("back", "click", () => ask({ type: "step", by: -1 }));
on("forth", "click", () => ask({ type: "step", by: 1 }));
on("next", "click", next);
on("reset", "click", reset);
element("seed").addEventListener("keydown", ({ key }) => key === "Enter" && reset());
on("speed", "change", ({ value }) => ask({ type: "speed", value: Number(value) }));
on("loop", "change", ({ checked }) => ask({ type: "loop", on: checked }));
on("timeline", "input", ({ value }) => seek(Number(value)));
on("home", "click", () => stage.look("whole"));
on("near", "click", () => stage.look("view"));
for (const what of ["contacts", "targets", "frames"] as const) {
  on(what, "change", ({ checked }) => {
    stage.shown[what] = checked;
    stage.touch();
  });
}
on("copy", "click", async () => {
  const address = location.href.replace(/#.*$/, "") + withLink(location.hash, link());
  try {
    await navigator.clipboard.writeText(address);
    say("The address of this moment is copied.");
  } catch {
    history.replaceState(null, "", address);
    say("The address of this moment stands above.");
  }
});
listenToKeys({
  Space: play,
  ArrowLeft: () => ask({ type: "step", by: -1 }),
  ArrowRight: () => ask({ type: "step", by: 1 }),
  Home: restart,
  KeyN: next,
  KeyR: reset,
});
addEventListener("hashchange", ({ newURL }) => {
  wanted = readLink(new URL(newURL).hash); // by now `remember` may have written over the address
  follow();
});
addEventListener("resize", place);
new ResizeObserver(place).observe(element("view"));
document.documentElement.style.setProperty("--inset", `${INSET}px`);
Object.assign(window, { drawnFrames: () => stage.frames }); // for measurements

const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
const connection = new Connection(token, onTold, onClosed);
