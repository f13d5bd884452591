/** How does a text get into a telephone? As a QR code, drawn here: nothing is asked of anybody. */
import { useMemo } from "react";
import { encode } from "uqr";

const QUIET = 4; // modules of white around it, as ISO/IEC 18004 asks

/** Dark on light in either colour scheme: not every camera reads the other way round. */
export function Qr({ text, label, size = 196 }: { text: string; label: string; size?: number }) {
  const [side, path] = useMemo(() => {
    const { data } = encode(text, { ecc: "M", border: QUIET });
    const dark = data.flatMap((row, y) => row.flatMap((on, x) => (on ? [`M${x} ${y}h1v1h-1z`] : [])));
    return [data.length, dark.join("")];
  }, [text]);
  return (
    <svg role="img" aria-label={label} width={size} height={size} viewBox={`0 0 ${side} ${side}`} shapeRendering="crispEdges" style={{ borderRadius: 8, flex: "none" }}>
      <rect width={side} height={side} fill="#fff" />
      <path d={path} fill="#000" />
    </svg>
  );
}
