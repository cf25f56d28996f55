/** `tributary node`: a validator of a network whose genesis file is on L1, with keys from files. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { bytesToHex, type Hex, isAddress } from 'viem'
import { decodeGenesis, type Genesis } from '../genesis/genesis.ts'
import { findGenesis } from '../settlement/l1.ts'
import { type ConfigOf, UsageError } from './config.ts'
import { signerOf } from './devnet.ts'
import { loadKeyMaterial, loadValidatorKey } from './keys.ts'
import type { Log } from './log.ts'
import { type Node, startNode } from './node.ts'

/** L1 is asked this often. */
const L1_POLL_MS = 1_000

export type OperatorNodeOptions = {
  readonly config: ConfigOf<'node'>
  readonly clientVersion: string
  readonly log: Log
  onFatal(error: unknown): void
}

/** Starts it. Throws UsageError for missing options, and what the parts throw. */
export async function startOperatorNode({ config, clientVersion, log, onFatal }: OperatorNodeOptions): Promise<Node> {
  const { l1, da } = config
  const dataDir = config['data-dir']
  if (l1 === undefined) throw new UsageError('--l1 URL is required')
  if (dataDir === undefined) throw new UsageError('--data-dir DIR is required')
  if (da !== 'blob' && da !== 'calldata') throw new UsageError(`--da is blob or calldata, not ${da}`)
  mkdirSync(dataDir, { recursive: true })
  const genesis = await loadGenesis(join(dataDir, 'genesis.json'), { l1, inbox: inboxOption(config.inbox) })
  return startNode({
    dataDir,
    genesis,
    key: loadValidatorKey(dataDir, { create: false }),
    l1: { url: l1, beaconUrls: [config.beacon ?? l1], pollMs: L1_POLL_MS, publicUrl: undefined },
    rpc: { host: config['rpc-host'], port: config['rpc-port'] },
    poster: signerFromFile(config['poster-key']),
    submitter: signerFromFile(config['submitter-key']),
    posting: { da, batchSec: config['batch-sec'] },
    clientVersion,
    log,
    onFatal,
  })
}

/** An address given on the command line, lowercase. */
export function inboxOption(text: string | undefined): Hex | undefined {
  if (text === undefined) return undefined
  if (!isAddress(text, { strict: false })) throw new UsageError(`--inbox is an address, not ${text}`)
  return text.toLowerCase() as Hex
}

/** The folder's genesis file, or the one on L1, which is then kept in the folder. */
async function loadGenesis(file: string, { l1, inbox }: { l1: string; inbox: Hex | undefined }): Promise<Genesis> {
  if (existsSync(file)) return decodeGenesis(readFileSync(file, 'utf8'))
  const published = await findGenesis({ rpcUrl: l1 }, inbox ? { inbox } : {})
  const text = new TextDecoder().decode(published.genesis)
  const genesis = decodeGenesis(text)
  writeFileSync(file, text)
  return genesis
}

function signerFromFile(file: string | undefined) {
  return file === undefined ? undefined : signerOf(bytesToHex(loadKeyMaterial(file, { create: false })))
}
