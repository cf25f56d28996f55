/** What the demo shows: for people a line a step and a table at the end, for machines a JSON line a step. Wire of the latter: docs/cli.md#demo */
import { formatUnits } from 'viem'

/** Facts of a step. Amounts are bigints in wei and are written as decimal strings. */
export type Facts = Readonly<Record<string, unknown>>

export type Screen = {
  /** A step is done: a sentence for people, facts for machines. */
  step(name: string, sentence: string, facts: Facts): void
  /** Something to look at, for people only. */
  show(text: string): void
  /** The last line. */
  end(facts: Facts): void
}

/** A screen on a writer of text. */
export function createScreen({ json, print }: { readonly json: boolean; print(text: string): void }): Screen {
  const line = (facts: Facts) => print(`${JSON.stringify(facts, (_, value) => (typeof value === 'bigint' ? value.toString() : value))}\n`)
  return {
    step: (name, sentence, facts) => (json ? line({ step: name, ...facts }) : print(`✓ ${sentence}\n`)),
    show: (text) => {
      if (!json) print(text)
    },
    end: (facts) => {
      if (json) line(facts)
    },
  }
}

/** An amount of OPEN with six decimals, rounded down. */
export function openOf(wei: bigint): string {
  const [whole = '0', decimals = ''] = formatUnits(wei, 18).split('.')
  return `${whole}.${decimals.slice(0, 6).padEnd(6, '0')}`
}

/** Basis points as a percentage. */
export function percentOf(bps: number | bigint): string {
  return `${(Number(bps) / 100).toFixed(2)} %`
}

/** Rows under a head, columns as wide as they need; numbers are set to the right. */
export function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const isNumber = head.map((_, column) => rows.every((row) => /^[\d.,]*( %)?$/.test(row[column] ?? '')))
  const text = (row: readonly string[]) =>
    widths.map((width, column) => (isNumber[column] ? (row[column] ?? '').padStart(width) : (row[column] ?? '').padEnd(width))).join('   ')
  return [text(head), widths.map((width) => '─'.repeat(width)).join('───'), ...rows.map(text)]
    .map((line) => `  ${line.trimEnd()}\n`)
    .join('')
}
