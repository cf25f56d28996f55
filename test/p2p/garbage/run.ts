/** Runs the garbage test: a victim and its attackers in processes of their own, and an honest validator that talks with the victim all the while. */
import { type ChildProcess, spawn } from 'node:child_process'
import process from 'node:process'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { openNetwork, type PeerNetwork } from '../../../p2p/network.ts'
import { type AttackResult, secondsMin } from './attacker.ts'
import { createHelloCheck, GENESIS_HASH, helloOf, silentLog, txOf, VALIDATOR } from './ground.ts'
import type { VictimReady, VictimReport } from './victim.ts'

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url))
const START_MS = 90_000
/** Time after the attack in which the victim comes to rest and what is on its way arrives. */
const REST_MS = 3_000
/** Time beyond, in which attackers come to an end. */
const ATTACKS_MS = 240_000
const VOTE_MS = 100

/** Part of the usual rates in the short form: floods are seen to be such before they are large, on however busy a machine. */
export const SHORT_RATE_SHARE = 0.04

export type GarbageResult = {
  readonly reports: readonly VictimReport[]
  readonly attacks: Readonly<Record<string, AttackResult>>
  /** Votes that the honest validator sent, and that the victim sent back; the same of its transactions that the victim took. */
  readonly votes: number
  readonly echoes: number
  readonly txs: number
  /** Longest that an echo took. */
  readonly echoMaxMs: number
}

/** Attacks with what has these words in its name, on a victim that gives peers this part of the usual rates. */
export type GarbageOptions = { readonly only?: string | undefined; readonly rateShare?: number }

/** What was asked for cannot be run: another time or other words can. */
export class GarbageUsageError extends Error {
  override readonly name = 'GarbageUsageError'
  readonly retryable = false
}

/** Attacks for so many seconds; zero: until each that breaks a rule was cut off once. Throws GarbageUsageError, and an Error if the victim ends by itself. */
export async function runGarbage(seconds: number, { only = '', rateShare = 1 }: GarbageOptions = {}): Promise<GarbageResult> {
  const leastSec = secondsMin(only)
  if (leastSec === 0) throw new GarbageUsageError(`no attack has "${only}" in its name`)
  if (!(seconds === 0 || seconds >= leastSec))
    throw new GarbageUsageError(
      `each attack has its turn in ${leastSec} s at the earliest: take at least ${Math.ceil(leastSec / 6) / 10} minutes, or 0`,
    )
  const reports: VictimReport[] = []
  const victim = start(['victim', String(rateShare)])
  let attackers: ChildProcess | undefined
  let honest: Awaited<ReturnType<typeof startHonest>> | undefined
  try {
    const exit = new Promise<never>((_, reject) =>
      victim.once('exit', (code, signal) => reject(new Error(`the victim ended: ${code ?? signal}`))),
    )
    exit.catch(() => {})
    const ready = await Promise.race([exit, firstLine<VictimReady>(victim, (line) => reports.push(line as VictimReport))])
    honest = await startHonest(ready.address)
    await sleep(2 * REST_MS) // how it stands before
    await keptBy(victim, reports)
    attackers = start(['attack', ready.address, String(seconds), String(rateShare), only])
    const attacks = await Promise.race([exit, firstLine<Record<string, AttackResult>>(attackers, () => {}, seconds * 1_000 + ATTACKS_MS)])
    honest.stop()
    await Promise.race([exit, sleep(REST_MS)])
    await Promise.race([exit, keptBy(victim, reports)])
    return { reports, attacks, ...honest.counts() }
  } finally {
    await honest?.close()
    for (const child of [attackers, victim]) {
      child?.removeAllListeners('exit')
      child?.kill('SIGKILL')
    }
  }
}

function start(args: readonly string[]): ChildProcess {
  // A heap that is bounded by less than what a leak would take, so that one ends the victim.
  return spawn(process.execPath, ['--max-old-space-size=512', '--expose-gc', MAIN, ...args], { stdio: ['pipe', 'pipe', 'inherit'] })
}

/** Has the victim say what memory it keeps: one more report is there when it has. */
async function keptBy(victim: ChildProcess, reports: readonly VictimReport[]): Promise<void> {
  const count = () => reports.filter(({ keptBytes }) => keptBytes !== undefined).length
  const before = count()
  victim.stdin?.write('collect\n')
  for (let waitedMs = 0; count() === before; waitedMs += 50) {
    if (waitedMs > START_MS) throw new Error('the victim does not say what it keeps')
    await sleep(50)
  }
}

/** The first line of a child, as JSON; the others go elsewhere. */
function firstLine<T>(child: ChildProcess, others: (line: unknown) => void, timeoutMs = START_MS): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('the child says nothing')), timeoutMs)
    let isFirst = true
    if (!child.stdout) throw new Error('the child has no output')
    createInterface({ input: child.stdout }).on('line', (text) => {
      const line: unknown = JSON.parse(text)
      if (!isFirst) return others(line)
      isFirst = false
      clearTimeout(timer)
      resolve(line as T)
    })
  })
}

/** A validator that says something ten times a second, and counts what comes back. */
async function startHonest(address: string) {
  const sentAtMs: number[] = []
  let [echoes, txs, echoMaxMs] = [0, 0, 0]
  const network: PeerNetwork = await openNetwork(
    {
      checkTransactions: async () => 'accept',
      checkBlock: async () => 'ignore',
      readBlock: () => undefined,
      onPeer() {},
      direct: async (peerId) => ({
        hello: helloOf(VALIDATOR.honest, peerId),
        checkHello: createHelloCheck(),
        onMessage: (message) => {
          echoes++
          echoMaxMs = Math.max(
            echoMaxMs,
            Date.now() - (sentAtMs[new DataView(message.buffer, message.byteOffset).getUint32(1)] ?? Date.now()),
          )
        },
        onBlock() {},
        readBlock: () => undefined,
      }),
    },
    {
      seed: new Uint8Array(32).fill(2),
      genesisHash: GENESIS_HASH,
      listen: { host: '127.0.0.1', port: 0 },
      bootstrap: [address],
      log: silentLog,
    },
  )
  for (let waitedMs = 0; network.direct?.validators().length === 0 && waitedMs < START_MS; waitedMs += 50) await sleep(50)
  const timer = setInterval(() => {
    const vote = new Uint8Array(200).fill(1)
    new DataView(vote.buffer).setUint32(1, sentAtMs.length)
    sentAtMs.push(Date.now())
    network.direct?.broadcast(vote)
    if (network.sendTransaction(txOf(1, 1e9 + sentAtMs.length))) txs++
  }, VOTE_MS)
  return {
    stop: () => clearInterval(timer),
    counts: () => ({ votes: sentAtMs.length, echoes, txs, echoMaxMs }),
    async close() {
      clearInterval(timer)
      await network.close()
    },
  }
}
