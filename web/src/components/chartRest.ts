/** What does a chart have beside its curves? A crosshair with what it points at, zoom, names of curves, and words for who does not see it. */
import { AriaComponent, AxisPointerComponent, DataZoomInsideComponent, LegendPlainComponent, TooltipComponent } from "echarts/components";

export const REST = [TooltipComponent, LegendPlainComponent, AxisPointerComponent, DataZoomInsideComponent, AriaComponent];
