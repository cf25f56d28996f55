/**
 * The node under attack: the whole network part in a process of its own, judging as a node does but without a chain. It says every half second how
 * long its event loop stood still, what memory it has, and what it counted; and at each word from its parent, what memory it has without garbage.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import process from 'node:process'
import type { Hex } from 'viem'
import { aggregateSignatures, publicKeyOf } from '../../../consensus/bls.ts'
import { idleState } from '../../../consensus/state.ts'
import { DEFAULT_TIMING } from '../../../consensus/timing.ts'
import { DEVNET_PARAMS } from '../../../genesis/devnet.ts'
import { type Cosigner, type CosignerNet, type CosignerOptions, createCosigner } from '../../../node/cosigner.ts'
import { createIntake, type Intake } from '../../../node/intake.ts'
import { createLog } from '../../../node/log.ts'
import { type NetworkMetrics, openNetwork, type PeerNetwork } from '../../../p2p/network.ts'
import { CHAIN_ID, secretKey, setOf } from '../../consensus/fixtures.ts'
import { blockOf, createHelloCheck, GENESIS_HASH, HEAD, helloOf, silentLog, VALIDATOR } from './ground.ts'

const REPORT_MS = 500
const TICK_MS = 10

/** Of the time since the report before. */
export type VictimReport = {
  /** Longest that the event loop did not turn, by the clock; and the processor time that the thread used in the longest of such gaps. */
  readonly delayMs: number
  readonly stallMs: number
  readonly rssBytes: number
  readonly heapBytes: number
  /** What is in use right after all garbage was collected; in the reports that were asked for. */
  readonly keptBytes?: number
  readonly metrics: NetworkMetrics
}

export type VictimReady = { readonly address: string }

/** Runs with this part of the usual rates until the parent's end of the pipe is closed. A line of JSON each: VictimReady, then VictimReport. */
export async function runVictim(rateShare: number): Promise<void> {
  process.stdin.on('end', () => process.exit(0))
  const say = (line: VictimReady | VictimReport) => process.stdout.write(`${JSON.stringify(line)}\n`)
  const network = await openVictim(rateShare)
  const readDelays = measureLoop()
  say({ address: network.addresses[0] ?? '' })
  const report = (): VictimReport => {
    const { rss } = process.memoryUsage()
    return { ...readDelays(), rssBytes: rss, heapBytes: usedBytes(), metrics: network.metrics() }
  }
  setInterval(() => say(report()), REPORT_MS)
  process.stdin.on('data', () => say({ ...report(), keptBytes: collectedBytes() }))
}

/** What the heap has in use, garbage that V8 had no reason to look for included, and what hangs on it. */
function usedBytes(): number {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

function collectedBytes(): number {
  if (!globalThis.gc) throw new Error('the victim is run with --expose-gc')
  // What the first one finalizes, the second one takes.
  for (let i = 0; i < 2; i++) globalThis.gc()
  return usedBytes()
}

async function openVictim(rateShare: number): Promise<PeerNetwork> {
  const checkHello = createHelloCheck()
  const intake = createVictimIntake(rateShare, (peer, why) => network.direct?.blame(peer, why))
  const cosigner = createVictimCosigner({
    send() {},
    publish() {},
    keyOf: (peer) => network.direct?.validators().find(({ peerId }) => peerId === peer)?.publicKey,
    blame: (peer, why) => network.direct?.blame(peer, why),
  })
  const network: PeerNetwork = await openNetwork(
    {
      checkTransactions: async (transactions) => {
        if (transactions.some(([kind]) => kind !== 1 && kind !== 2)) return 'reject'
        return transactions.every(([kind]) => kind === 2) ? 'stale' : 'accept'
      },
      checkBlock: async (news) => {
        if (news.kind === 'checkpoint') return cosigner.takeSigners(news.signers)
        const { commit } = news
        if (commit[0] !== 6) return 'reject'
        return (commit[1] ?? 0) <= HEAD ? 'stale' : 'accept'
      },
      readBlock: (number) => (number <= HEAD ? { commit: Uint8Array.of(6, Number(number)), block: blockOf(Number(number)) } : undefined),
      onPeer() {},
      direct: async (peerId) => ({
        hello: helloOf(VALIDATOR.victim, peerId),
        checkHello,
        onMessage: (message, from) => {
          if (message[0] === 1)
            network.direct?.sendTo(from, message) // only the honest one expects an answer
          else intake.take(message, from)
        },
        onCheckpoint: cosigner.take,
        onBlock() {},
        readBlock: () => undefined,
      }),
    },
    {
      seed: new Uint8Array(32).fill(1),
      genesisHash: GENESIS_HASH,
      listen: { host: '127.0.0.1', port: 0 },
      bootstrap: [],
      // All attackers have one address here; the attack with connections fills what is left.
      limits: { connectionsPerAddressMax: 40, rateShare },
      log: silentLog,
    },
  )
  return network
}

/** What takes signatures of checkpoints, where no batch is on L1. */
function createVictimCosigner(net: CosignerNet): Cosigner {
  const set = setOf([1, 1, 1])
  return createCosigner({
    chain: { store: {} } as CosignerOptions['chain'],
    safeChain: { lastOfBlocks: () => [] },
    follower: { status: () => ({ checkpointed: 0n }) as ReturnType<CosignerOptions['follower']['status']> },
    sets: { setAt: () => set },
    domain: { l1ChainId: 1, manager: GENESIS_HASH.slice(0, 42) as Hex },
    signer: undefined,
    net,
    log: createLog({ level: 'error', json: true, write() {} }),
    onFatal() {},
  })
}

/** The intake of a validator that waits for the height after its head. */
function createVictimIntake(uselessShare: number, blame: (peer: string, why: string) => void): Intake {
  const set = setOf(Array.from({ length: VALIDATOR.attacker + 1 }, () => 1))
  const context = { publicKey: publicKeyOf(secretKey(VALIDATOR.victim)), timing: DEFAULT_TIMING, aggregate: aggregateSignatures }
  const state = idleState(context, set, HEAD)
  return createIntake({
    chainId: CHAIN_ID,
    state: () => state,
    setAt: () => set,
    nowMs: Date.now,
    minBlockIntervalMs: () => DEVNET_PARAMS.minBlockIntervalMs,
    uselessShare,
    deliver() {},
    onNext() {},
    onAhead() {},
    onBehind() {},
    blame,
  })
}

/** Longest gaps between turns of the event loop since the last reading. */
function measureLoop(): () => { readonly delayMs: number; readonly stallMs: number } {
  const delays = monitorEventLoopDelay({ resolution: TICK_MS })
  delays.enable()
  const cpuMs = () => {
    const { user, system } = process.threadCpuUsage()
    return (user + system) / 1_000
  }
  let last = cpuMs()
  let stallMs = 0
  setInterval(() => {
    const now = cpuMs()
    stallMs = Math.max(stallMs, now - last)
    last = now
  }, TICK_MS)
  return () => {
    const read = { delayMs: Math.round(delays.max / 1e6), stallMs: Math.round(stallMs) }
    delays.reset()
    stallMs = 0
    return read
  }
}
