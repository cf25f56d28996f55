/**
 * The attackers: libp2p peers in one process, each with one way to do harm, again and again under a new name until the time is over. It says at the
 * end how often each was cut off.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import process from 'node:process'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p, type Libp2p } from 'libp2p'
import { ATTACKS, type Attack, type AttackStage, FLOODS, UNPUNISHED, USELESS } from './attacks.ts'

const DIAL_MS = 5_000
/** Longest life of one name, so that attacks that nobody is cut off for are seen at their beginning too. */
const LIFE_MS = 60_000
const REST_MS = 300
const PACE_MS = 5
/** Attacks at a time, and for how long at most. */
const WAVE_ATTACKS = 9
const WAVE_MS = 20_000
const WAVE_SEC = WAVE_MS / 1_000
/** The victim takes five connections a second from one address. */
const CONNECT_PACE_MS = 200
/** The same, if each is to be cut off once: at most, one life of what nobody is cut off for, and all together. */
const ONCE_MAX_MS = 60_000
const ONCE_UNPUNISHED_MS = 10_000
const ALL_ONCE_MS = 5_000

/** What became of an attack: lives under one name, and how many ended with being cut off. */
export type AttackResult = { lives: number; cutOff: number; refused: number }

type Results = Record<string, AttackResult>

/** The attacks with these words in their names, in the groups that attack together. */
function groupsOf(words: string): { readonly chosen: readonly string[]; readonly groups: readonly (readonly string[])[] } {
  const chosen = Object.keys(ATTACKS).filter((name) => name.includes(words))
  // A few at a time have more force than all together; all together have their time too.
  const waves = Math.ceil(chosen.length / WAVE_ATTACKS)
  return { chosen, groups: [...Array.from({ length: waves }, (_, wave) => chosen.filter((_, i) => i % waves === wave)), chosen] }
}

/** Shortest time in which each attack with these words has its turn; 0: there is none. */
export function secondsMin(words: string): number {
  const { chosen, groups } = groupsOf(words)
  return chosen.length === 0 ? 0 : groups.length * WAVE_SEC
}

export type AttackOptions = { readonly words: string; readonly rateShare: number }

/**
 * Attacks with what has these words in its name, for so many seconds; zero: until each that breaks a rule was cut off once. A line of JSON at the end:
 * results by attack.
 */
export async function runAttacks(address: string, seconds: number, { words, rateShare }: AttackOptions): Promise<void> {
  process.stdin.resume().on('end', () => process.exit(0))
  // Whatever is reset on us in the middle of a word is no news.
  process.on('uncaughtException', (error) => process.stderr.write(`${String(error)}\n`))
  const { chosen, groups } = groupsOf(words)
  const results: Results = Object.fromEntries(chosen.map((name) => [name, { lives: 0, cutOff: 0, refused: 0 }]))
  if (seconds === 0) await attackOnce(address, chosen, { results, rateShare })
  else {
    const until = Date.now() + seconds * 1_000
    do {
      for (const group of groups) {
        if (Date.now() >= until) break
        await attackTogether(address, group, { results, endMs: Date.now() + Math.min(WAVE_MS, until - Date.now()), rateShare })
      }
    } while (Date.now() < until)
  }
  process.stdout.write(`${JSON.stringify(results)}\n`)
}

type Wave = { readonly results: Results; readonly endMs: number; readonly rateShare: number }

/** Runs some attacks at a time. */
async function attackTogether(address: string, names: readonly string[], wave: Wave): Promise<void> {
  const running = names.map(async (name, i) => {
    await sleep(i * CONNECT_PACE_MS)
    while (Date.now() < wave.endMs) {
      await live(address, name, wave)
      await sleep(REST_MS)
    }
  })
  await Promise.all(running)
}

/** Some at a time, each until it was cut off once and another has its turn; then all together. */
async function attackOnce(address: string, names: readonly string[], { results, rateShare }: Omit<Wave, 'endMs'>): Promise<void> {
  const waiting = [...names].sort((a, b) => rankOf(a) - rankOf(b))
  const run = async (i: number) => {
    await sleep(i * CONNECT_PACE_MS)
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const isUnpunished = UNPUNISHED.has(name)
      const lifeMs = isUnpunished ? ONCE_UNPUNISHED_MS : ONCE_MAX_MS
      const endMs = Date.now() + ONCE_MAX_MS
      while (Date.now() < endMs && results[name]?.[isUnpunished ? 'lives' : 'cutOff'] === 0) {
        await live(address, name, { results, endMs: Math.min(endMs, Date.now() + lifeMs), rateShare })
        await sleep(REST_MS)
      }
    }
  }
  await Promise.all(Array.from({ length: WAVE_ATTACKS }, (_, i) => run(i)))
  await attackTogether(address, names, { results, endMs: Date.now() + ALL_ONCE_MS, rateShare })
}

/** Those first that are seen last for what they are, so that no one is left alone at the end. */
function rankOf(name: string): number {
  if (name === USELESS) return 0
  return FLOODS.has(name) ? 1 : 2
}

/** One attack under one name. */
async function live(address: string, name: string, wave: Wave): Promise<void> {
  const [attack, result] = [ATTACKS[name], wave.results[name]]
  if (!attack || !result) return
  const { isLetIn, isCutOff, isRefused } = await attackAlone(address, attack, { endMs: () => wave.endMs, rateShare: wave.rateShare })
  if (isLetIn) result.lives++
  if (isCutOff) result.cutOff++
  if (isRefused) result.refused++
}

type Life = { isLetIn: boolean; isCutOff: boolean; isRefused: boolean }

/** Runs an attack under a name of its own, until it is cut off or its time is over; then says whether the name is let in again. */
export async function attackAlone(
  address: string,
  attack: Attack,
  { endMs, rateShare = 1, lifeMs = LIFE_MS }: { endMs(): number; readonly rateShare?: number; readonly lifeMs?: number },
): Promise<Life> {
  const life = { isLetIn: false, isCutOff: false, isRefused: false }
  const libp2p = await startPeer()
  try {
    const connection = await libp2p.dial(multiaddr(address), { signal: AbortSignal.timeout(DIAL_MS) })
    life.isLetIn = true
    const startMs = Date.now()
    const goesOn = () => connection.status === 'open' && Date.now() < Math.min(endMs(), startMs + lifeMs)
    await attack(stageOf(libp2p, connection, { address, goesOn, rateShare })).catch(() => {}) // it was stopped in the middle
    while (goesOn()) await sleep(50)
    life.isCutOff = connection.status !== 'open'
    life.isRefused = life.isCutOff && (await isTurnedAway(libp2p, address))
  } catch {
    // not connected this time
  } finally {
    await Promise.race([libp2p.stop(), sleep(2_000)])
  }
  return life
}

async function startPeer(): Promise<Libp2p> {
  return createLibp2p({
    privateKey: await generateKeyPair('Ed25519'),
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false },
    services: { identify: identify() },
  })
}

/** Whether a connection under the same name does not last. */
async function isTurnedAway(libp2p: Libp2p, address: string): Promise<boolean> {
  const connection = await libp2p.dial(multiaddr(address), { signal: AbortSignal.timeout(DIAL_MS) }).catch(() => undefined)
  for (let i = 0; i < 20 && connection?.status === 'open'; i++) await sleep(50)
  return connection?.status !== 'open'
}

type StageParts = Pick<AttackStage, 'address' | 'goesOn' | 'rateShare'>

function stageOf(libp2p: Libp2p, connection: AttackStage['connection'], { address, goesOn, rateShare }: StageParts): AttackStage {
  return {
    libp2p,
    connection,
    address,
    goesOn,
    rateShare,
    open: (protocol) => connection.newStream(protocol, { maxOutboundStreams: 10_000, signal: AbortSignal.timeout(DIAL_MS) }),
    async flood(stream, next, perSec = Infinity) {
      const startMs = Date.now()
      for (let sent = 0; goesOn() && stream.status === 'open'; sent++) {
        while (sent > ((Date.now() - startMs) * perSec) / 1_000) await sleep(PACE_MS)
        if (stream.writableNeedsDrain) {
          const waited = AbortSignal.timeout(1_000)
          await once(stream, 'drain', { signal: waited }).catch(() => {})
        } else stream.send(next(sent))
        if (sent % 32 === 0) await nextTurn()
      }
    },
    async raw(bytes) {
      const parts = multiaddr(address).getComponents()
      const partOf = (code: string) => parts.find(({ name }) => name === code)?.value ?? ''
      const socket = connect(Number(partOf('tcp')), partOf('ip4'))
      socket.on('error', () => {})
      if (bytes > 0) socket.write(randomBytes(bytes))
      await sleep(20)
      return () => socket.destroy()
    },
  }
}
