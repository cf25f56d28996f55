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
  nowMs(): number
  isCalm(): boolean
}

export function createNetwork<Node extends Place>({ scenario, random, schedule, nowMs, isCalm }: NetworkOptions): Network<Node> {
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
    isHidden(from, to, message) {
      const { hides } = scenario
      return hides !== undefined && !isCalm() && hides.rule(from.index, to.index, message) && random() >= hides.leakRate
    },
    part(side, isOneWay) {
      cut = { side, isOneWay }
    },
    heal() {
      cut = undefined
    },
  }
}
