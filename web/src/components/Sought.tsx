/** A field for what is looked for, which is handed on when one stops typing. */
import { TextInput, type TextInputProps } from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import { useEffect, useState } from "react";

const PAUSE_MS = 300;

/** How wide a filter is: two stand beside each other on a phone. */
export const beside = (wide: number, from: "xs" | "sm" = "sm") => ({ base: "calc(50% - 6px)", [from]: wide });

type Props = Omit<TextInputProps, "value" | "onChange"> & { value: string; set: (value: string) => void };

export function Sought({ value, set, ...rest }: Props) {
  const [text, setText] = useState(value);
  const hand = useDebouncedCallback(set, PAUSE_MS);
  useEffect(() => setText(value), [value]); // from the address, or another filter's button
  return (
    <TextInput
      {...rest}
      value={text}
      onChange={(event) => {
        setText(event.currentTarget.value);
        hand(event.currentTarget.value);
      }}
    />
  );
}
