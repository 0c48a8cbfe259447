// The words on the page.

import type { Connection } from "./connection";
import type { Manifest } from "./protocol";
import type { Means, Words } from "./words";

const element = (id: string) => document.getElementById(id)!;

function write(id: string, text: string): void {
  const place = element(id);
  if (place.textContent !== text) place.textContent = text; // else screen readers say it again
  place.hidden = text === "";
}

/** Shows the words, and the buttons that do something now. */
export function showOnPage(connection: Connection, words: Words, means: Means): void {
  const { status } = connection;
  const drives = connection.role === "drive";
  const data = document.body.dataset;
  data["state"] = words.state;
  data["role"] = connection.role;
  data["success"] = String(status?.success ?? false);
  data["means"] = means;
  element("state").textContent = words.title;
  write("task", words.task);
  write("goal", words.goal);
  write("notice", words.notice);
  write("next", words.next);
  write("moves", words.moves);
  write("numbers", words.numbers);
  write("latency", words.latency);
  element("progress").style.width = `${100 * words.progress}%`;
  element("bar").setAttribute("aria-valuenow", String(Math.round(100 * words.progress)));
  const visitor = connection.online && !drives && status?.driver !== "device";
  element("drive").hidden = !visitor || connection.asks;
  element("drive").firstChild!.textContent = status?.driver === "nobody" ? "Take control " : "Ask to drive ";
  element("yes").hidden = element("no").hidden = !(drives && status?.asked);
  element("switch").hidden = !drives || Object.keys(status?.tasks ?? {}).length < 2;
  element("touch").hidden = !drives || means !== "touch";
  element("go").textContent = words.state === "engaged" ? "Stop" : "Start";
}

/** Says which digit bends what. */
export function showFingers(manifest: Manifest): void {
  const names = manifest.flexions.map(({ name }, index) => `${index + 1} ${name.replace("_", " ")}`);
  element("fingers").textContent = `F close, G open, ${names.join(", ")}`;
}

/** Offers the tasks that the host has, and calls back with the one that is chosen. */
export function chooseTask(connection: Connection, chosen: (task: string) => void): void {
  const dialog = element("tasks") as HTMLDialogElement;
  const { status } = connection;
  if (!status || dialog.open || connection.role !== "drive") return;
  const list = element("choices");
  list.replaceChildren(
    ...Object.entries(status.tasks).map(([task, summary]) => {
      const button = document.createElement("button");
      const title = document.createElement("strong");
      title.textContent = task;
      button.append(title, summary);
      button.disabled = task === status.task;
      button.addEventListener("click", () => {
        dialog.close();
        chosen(task);
      });
      return button;
    }),
  );
  dialog.showModal();
}
