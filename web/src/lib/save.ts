/** How does something that the page has made become a file? By a link that nobody sees. */

const KEPT_MS = 1_000; // until the browser has begun to read it

export function save(name: string, content: Blob | string | undefined): void {
  if (!content) return;
  const url = typeof content === "string" ? content : URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  if (typeof content !== "string") setTimeout(() => URL.revokeObjectURL(url), KEPT_MS);
}
