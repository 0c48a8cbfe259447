// The page beside the drawing: its elements, the list of episodes, and what the keys do.

import type { Listed, Status, Welcome } from "./wire";

export const element = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;

const seconds = (value: number): string => value.toFixed(2);

/** The time of a moment, and of the last one known. */
export function clock(index: number, last: number, period: number): string {
  return `${seconds(index * period)} / ${seconds(last * period)} s`;
}

/** Fills the list of a dataset; `open` is called with the number of the one that is wanted. */
export function listEpisodes(welcome: Welcome, open: (episode: number) => void): void {
  const panel = element<HTMLDetailsElement>("episodes");
  const { episodes, period, operator } = welcome;
  panel.hidden = !episodes;
  if (!episodes) return;
  const kept = episodes.filter(({ success }) => success).length;
  element("count").textContent = `${episodes.length} episodes, ${kept} successful`;
  const extra = [...new Set(episodes.flatMap(({ events }) => Object.keys(events)))].sort();
  const head = element<HTMLTableElement>("list").tHead!;
  head.replaceChildren(row(["episode", "length", "success", "operator", ...extra].map((text) => cell("th", text))));
  for (const one of head.rows[0]!.cells) one.scope = "col";
  const body = element<HTMLTableElement>("list").tBodies[0]!;
  body.replaceChildren(
    ...episodes.map((episode, number) => listed(episode, number, period, operator ?? "", extra, open)),
  );
  panel.open = innerWidth >= 900;
}

function listed(
  episode: Listed,
  number: number,
  period: number,
  operator: string,
  extra: string[],
  open: (episode: number) => void,
): HTMLTableRowElement {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = String(number);
  button.setAttribute("aria-label", `show episode ${number}`);
  const cells = [
    cell("td", button),
    cell("td", `${(episode.steps * period).toFixed(1)} s`),
    cell("td", episode.success ? "✓ yes" : "✗ no"),
    cell("td", operator),
    ...extra.map((name) => cell("td", said(episode.events[name]))),
  ];
  const result = row(cells);
  result.dataset["episode"] = String(number);
  result.addEventListener("click", () => open(number));
  return result;
}

function said(value: string | number | boolean | undefined): string {
  if (value === undefined) return "–";
  return typeof value === "number" && !Number.isInteger(value) ? value.toFixed(2) : String(value);
}

function cell(kind: "th" | "td", content: string | Node): HTMLTableCellElement {
  const result = document.createElement(kind);
  result.append(content);
  return result;
}

function row(cells: HTMLTableCellElement[]): HTMLTableRowElement {
  const result = document.createElement("tr");
  result.append(...cells);
  return result;
}

/** Marks the episode that is shown. */
export function markEpisode(number: number | null): void {
  for (const one of element<HTMLTableElement>("list").tBodies[0]!.rows) {
    const shown = one.dataset["episode"] === String(number);
    if (shown === one.classList.contains("shown")) continue;
    one.classList.toggle("shown", shown);
    const button = one.querySelector("button")!;
    if (shown) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
    if (shown) one.scrollIntoView({ block: "nearest" });
  }
}

/** What a side's label says after its name. */
export function outcome(status: Status["sides"][number]): string {
  const words: Record<string, string> = {
    success: "success",
    failure: "failed",
    "out of time": "out of time",
    diverged: "the simulation diverged",
  };
  return [words[status.outcome] ?? "", status.touched ? "touched" : ""].filter(Boolean).join(", ");
}

/** Calls what a key stands for, unless it belongs to what has the focus. */
export function listenToKeys(keys: Record<string, () => void>): void {
  addEventListener("keydown", (event) => {
    const focus = event.target as HTMLElement;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (focus.closest("input, select, textarea")) return;
    if (["Space", "Enter"].includes(event.code) && focus.closest("button, summary, a")) return;
    const act = keys[event.code];
    if (!act) return;
    event.preventDefault();
    act();
  });
}
