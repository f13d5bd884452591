/** What is fetched first? All that the address needs, at once: its first answers, its page and the program, in place of one after the other. */
import "./styles";
import { needs } from "./addresses";
import { askAhead } from "./api/ahead";

const { files, asks } = needs(window.location.pathname, window.location.search);
askAhead(asks);
const built = JSON.parse(document.getElementById("files")?.textContent ?? "{}") as Record<string, string[]>; // by the build: vite.config.ts
for (const href of files.flatMap((file) => built[file] ?? [])) document.head.append(Object.assign(document.createElement("link"), { rel: "modulepreload", crossOrigin: "", href }));
void import("./main");
