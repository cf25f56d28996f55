/**
 * The devnet: a local Ethereum, the contracts on it, a genesis file published there, and a validator with everything on. With a data folder
 * of its own it goes on where it was, on the same L1.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Hex } from 'viem'
import { DEVNET_KEYS, DEVNET_POSTER_KEY, DEVNET_SUBMITTER_KEY } from '../genesis/devnet.ts'
import { decodeGenesis, type Genesis } from '../genesis/genesis.ts'
import { createL1Http } from '../settlement/l1Http.ts'
import { type Anvil, startAnvil } from './anvil.ts'
import { addressIndexOption, type ConfigOf, metricsOptions, postingOptions, rpcOptions, UsageError } from './config.ts'
import type { DevnetValidator } from './devnetValidators.ts'
import { readJsonFile } from './jsonFile.ts'
import { addressOfKey, loadValidatorKey, signerOf } from './keys.ts'
import type { Log } from './log.ts'
import { type Node, startNode } from './node.ts'
import { localKey } from './signer.ts'

/** L1 slots in an epoch: finality after a minute and a bit instead of a quarter of an hour. */
const L1_SLOTS_IN_AN_EPOCH = 16

/** More processes than this are of no use on one machine. */
const VALIDATORS_MAX = 16

export type Devnet = {
  readonly node: Node
  readonly l1Url: string
  readonly genesis: Genesis
  readonly dataDir: string
  readonly accounts: readonly { readonly address: Hex; readonly privateKey: Hex }[]
  /** The further validators, each a process of its own. */
  readonly validators: readonly DevnetValidator[]
  /** Ends the node and what was started for it. */
  close(): Promise<void>
}

export type DevnetOptions = {
  readonly config: ConfigOf<'devnet'>
  readonly clientVersion: string
  readonly log: Log
  onFatal(error: unknown): void
}

/** Starts a devnet. Throws what its parts throw; whatever was started by then is stopped. */
export async function startDevnet({ config, clientVersion, log, onFatal }: DevnetOptions): Promise<Devnet> {
  const posting = postingOptions(config)
  const addressIndex = addressIndexOption(config)
  const kept = config['data-dir']
  const dataDir = kept ?? mkdtempSync(join(tmpdir(), 'tributary-devnet-'))
  mkdirSync(dataDir, { recursive: true })
  const closers: (() => Promise<void> | void)[] = []
  if (kept === undefined) closers.push(() => rmSync(dataDir, { recursive: true, force: true }))
  const close = async () => {
    for (const closer of closers.reverse()) await closer()
    closers.length = 0
  }
  try {
    const l1Url = await openL1(config, dataDir, closers)
    const count = validatorsOption(config.validators)
    const network = count > 1 || existsSync(join(dataDir, 'validators.json')) ? await import('./devnetValidators.ts') : undefined
    const place = { count, host: config['p2p-host'], port: config['p2p-port'] }
    const members = (await network?.devnetMembers(dataDir, place)) ?? []
    const key = loadValidatorKey(dataDir, { create: true })
    const keys = network ? members.map((member) => member.key) : [key]
    const genesisFile = join(dataDir, 'genesis.json')
    const genesis = existsSync(genesisFile)
      ? decodeGenesis(readFileSync(genesisFile, 'utf8'))
      : await (await import('./devnetGenesis.ts')).createDevnetGenesis(genesisFile, {
          l1Url,
          keys,
          epochBlocks: epochBlocksOption(config['epoch-blocks']),
          log,
        })
    const node = await startNode({
      dataDir,
      genesis,
      key: localKey(key),
      l1: { url: l1Url, beaconUrls: [l1Url], pollMs: 250, publicUrl: l1Url },
      rpc: rpcOptions(config),
      addressIndex,
      metrics: metricsOptions(config),
      p2p: {
        host: config['p2p-host'],
        port: members[0]?.p2pPort ?? config['p2p-port'],
        bootstrap: members.slice(1).map(({ address }) => address),
      },
      poster: posting && signerOf(DEVNET_POSTER_KEY),
      submitter: posting && signerOf(DEVNET_SUBMITTER_KEY),
      posting,
      clientVersion,
      log,
      onFatal,
    })
    closers.push(() => node.close())
    const others = await network?.startDevnetValidators({
      members,
      l1Url,
      genesisFile,
      host: config['p2p-host'],
      logLevel: config['log-level'],
      log,
    })
    if (others) closers.push(others.stop)
    const accounts = DEVNET_KEYS.map((privateKey) => ({ address: addressOfKey(privateKey), privateKey }))
    return { node, l1Url, genesis, dataDir, accounts, validators: others?.validators ?? [], close }
  } catch (error) {
    await close()
    throw error
  }
}

/** Blocks of an epoch. Throws UsageError. */
function epochBlocksOption(count: number): number {
  if (count < 0) throw new UsageError(`--epoch-blocks is 0 or more, not ${count}`)
  return count
}

/** How many validators: as many as consensus takes. Throws UsageError. */
function validatorsOption(count: number): number {
  if (count < 1 || count > VALIDATORS_MAX) throw new UsageError(`--validators is from 1 to ${VALIDATORS_MAX}, not ${count}`)
  return count
}

/** The L1 that is given, the one that an earlier run left running, or a new anvil on the state that is kept in the folder. */
async function openL1(config: ConfigOf<'devnet'>, dataDir: string, closers: (() => Promise<void> | void)[]): Promise<string> {
  if (config.l1 !== undefined) return config.l1
  const file = join(dataDir, 'l1.json')
  const left = readJsonFile(file, '{"url":"http…","pid":…}', ({ url, pid }) =>
    typeof url === 'string' && URL.canParse(url) && isPid(pid) ? { url, pid } : undefined,
  )
  if (left && (await isAlive(left.url))) {
    // A run that was killed could not stop it. This one can.
    closers.push(() => endProcess(left.pid))
    return left.url
  }
  const port = config['l1-port']
  const anvil: Anvil = await startAnvil({
    blockTimeSec: config['l1-block-sec'],
    slotsInAnEpoch: L1_SLOTS_IN_AN_EPOCH,
    stateFile: join(dataDir, 'l1-state.json'),
    ...(port === 0 ? {} : { port }),
  })
  closers.push(async () => {
    await anvil.stop()
    rmSync(file, { force: true })
  })
  // Whole or not at all: who is killed here must not leave a file that nobody can read.
  writeFileSync(`${file}.next`, JSON.stringify({ url: anvil.url, pid: anvil.pid }))
  renameSync(`${file}.next`, file)
  return anvil.url
}

/** 0 and −1 are whole groups of processes. */
function isPid(pid: unknown): pid is number {
  return typeof pid === 'number' && Number.isSafeInteger(pid) && pid > 1
}

async function isAlive(url: string): Promise<boolean> {
  try {
    const version = await createL1Http(url, { timeoutMs: 2_000 }).request({ method: 'web3_clientVersion' })
    return typeof version === 'string' && version.startsWith('anvil/')
  } catch {
    return false // nobody listens there, or nobody we know: any failure means that a new one is needed
  }
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGTERM')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error // gone already
  }
}
