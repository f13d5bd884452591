/** How does a part of the console come when it is needed? Shown at once if its file is here: React keeps a placeholder for 300 ms. */
import { Text } from "@mantine/core";
import { type FunctionComponent, lazy, useState } from "react";
import type { Part } from "../pages";

/** A component in a file of its own, for within a Suspense. */
export function later<P extends object>(part: Part<P>): FunctionComponent<P> {
  const Waited = lazy(async () => ({ default: await part.load().catch(() => Missing) }));
  return function Later(props: P) {
    const [Shown] = useState<FunctionComponent<P>>(() => part.here ?? Waited);
    return <Shown {...props} />;
  };
}

function Missing() {
  return <Text role="alert">The coordinator does not have this part of the console. Whoever runs it can build it anew: make console</Text>;
}
