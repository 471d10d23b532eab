/** As much of a report as a service takes. Its end says most: of one that is too long the beginning is left out. */
export function shortened(report: string, longest: number): string {
  return report.length <= longest ? report : `…\n${report.slice(-longest)}`;
}
