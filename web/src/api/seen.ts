/** Does anybody see the page? A tab that has been hidden for long lets its streams go. */
import { useEffect, useState } from "react";

const HIDDEN_MS = 60_000;

/** Whether somebody may see the page: no longer once it has been hidden for a minute. */
export function useSeen(): boolean {
  const [seen, setSeen] = useState(true);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = (): void => {
      clearTimeout(timer);
      if (document.visibilityState === "hidden") timer = setTimeout(() => setSeen(false), HIDDEN_MS);
      else setSeen(true);
    };
    document.addEventListener("visibilitychange", look);
    look();
    return () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", look);
    };
  }, []);
  return seen;
}
