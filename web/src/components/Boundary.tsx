/** What is seen where a part of the page breaks? What broke, and how to go on; what stands around it stays. */
import { Alert, Button, Text } from "@mantine/core";
import { Component, type ReactNode } from "react";

/** `at`: where the reader is; somewhere else, what is inside is tried again. */
type Props = { at: string; children: ReactNode };
type State = { at: string; error: unknown };

export class Boundary extends Component<Props, State> {
  override state: State = { at: this.props.at, error: null };

  static getDerivedStateFromError(error: unknown): Partial<State> {
    return { error: error ?? "unknown" };
  }

  static getDerivedStateFromProps({ at }: Props, state: State): Partial<State> | null {
    return at === state.at ? null : { at, error: null };
  }

  override render(): ReactNode {
    const { error } = this.state;
    if (error === null) return this.props.children;
    return (
      <Alert color="red" variant="light" role="alert" title="This page broke">
        <Text size="sm" className="wrap-anywhere">
          {error instanceof Error ? error.message : String(error)}. It is a fault of the console, not of the coordinator: nothing is lost.
        </Text>
        <Button size="compact-sm" variant="light" color="red" mt="xs" onClick={() => window.location.reload()}>
          Load it again
        </Button>
      </Alert>
    );
  }
}
