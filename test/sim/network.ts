/** The network between simulated nodes: loses, delays, doubles, reorders, parts, and hides locks, until it is calm. */
import type { Message } from '../../consensus/message.ts'
import type { Random, Schedule } from './random.ts'
import type { Scenario } from './scenario.ts'

/** An end of the network. `index` among all nodes, `who` among validators. */
type Place = { readonly index: number; readonly who: number }

export type Network<Node extends Place> = {
  send(from: Node, to: Node, deliver: () => void): void
  /** True if the message goes nowhere, because of what it says. */
  isHidden(from: Node, to: Node, message: Message): boolean
  /** Cuts the side off from the others; `isOneWay`: the others do not hear the side. */
  part(side: ReadonlySet<Node>, isOneWay: boolean): void
  heal(): void
}

export type NetworkOptions = {
  readonly scenario: Scenario
  readonly random: Random
  readonly schedule: Schedule
  readonly count: number
  nowMs(): number
  isCalm(): boolean
}

/** Part of what is to be hidden that is not. */
const LEAK_RATE = 0.05

export function createNetwork<Node extends Place>({ scenario, random, schedule, count, nowMs, isCalm }: NetworkOptions): Network<Node> {
  let cut: { readonly side: ReadonlySet<Node>; readonly isOneWay: boolean } | undefined

  function isCut(from: Node, to: Node): boolean {
    if (cut === undefined || isCalm()) return false
    const [here, there] = [cut.side.has(from), cut.side.has(to)]
    return cut.isOneWay ? here && !there : here !== there
  }

  return {
    send(from, to, deliver) {
      const chaos = !isCalm()
      if (isCut(from, to) || (chaos && random() < scenario.dropRate)) return
      const copies = chaos && random() < scenario.duplicateRate ? 2 : 1
      const slowMs = chaos && (scenario.slow.has(from.who) || scenario.slow.has(to.who)) ? 100 + random() * 150 : 0
      for (let i = 0; i < copies; i++) {
        const spreadMs = chaos ? scenario.delayMaxMs : scenario.calmDelayMaxMs
        const delayMs = chaos && random() < scenario.longDelayRate ? random() * 800 : 1 + random() * (spreadMs - 1)
        schedule.add(nowMs() + delayMs + slowMs, deliver)
      }
    },
    // Makes locks that nobody hears of: in each round a third is deaf for the proposal, so that all others prevote it and a quorum may be heard without
    // a polka; and what one of them prevotes stays with it, so that it alone has a polka.
    isHidden(from, to, { kind, height, round }) {
      if (!scenario.hidesLocks || isCalm() || kind === 'roundCert' || kind === 'commit') return false
      const place = ({ index }: Node) => (index + count - ((height * 7 + round * 3 + scenario.seed) % count)) % count
      const isDeaf = place(to) >= 1 && place(to) <= (count - 1) / 3
      return (kind === 'proposal' ? isDeaf : kind === 'polka' || place(from) === 0) && random() >= LEAK_RATE
    },
    part(side, isOneWay) {
      cut = { side, isOneWay }
    },
    heal() {
      cut = undefined
    },
  }
}
