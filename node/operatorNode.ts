/**
 * `tributary node`: a node of a network whose genesis file is on L1. With a validator's key in its folder, or a signer that
 * holds it, it validates; without one it follows the peers that --bootstrap names.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { bytesToHex, type Hex, isAddress } from 'viem'
import { decodeGenesis, type Genesis } from '../genesis/genesis.ts'
import { addressIndexOption, type ConfigOf, metricsOptions, postingOptions, rpcOptions, UsageError } from './config.ts'
import { loadKeyMaterial, signerOf } from './keys.ts'
import type { Log } from './log.ts'
import { type Node, startNode } from './node.ts'
import { openSigningKey } from './openKey.ts'

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
  const { l1 } = config
  const posting = postingOptions(config)
  const addressIndex = addressIndexOption(config)
  const dataDir = config['data-dir']
  if (l1 === undefined) throw new UsageError('--l1 URL is required')
  if (dataDir === undefined) throw new UsageError('--data-dir DIR is required')
  const [poster, submitter, challenger] = [config['poster-key'], config['submitter-key'], config['challenger-key']].map(signerFromFile)
  if (challenger && [poster, submitter].some((other) => other?.address === challenger.address))
    throw new UsageError(`--challenger-key is the account of another key, ${challenger.address}: it needs one of its own`)
  const genesisOf = once(() => {
    mkdirSync(dataDir, { recursive: true })
    return loadGenesis(join(dataDir, 'genesis.json'), { l1, inbox: inboxOption(config.inbox) })
  })
  const chainId = async () => (await genesisOf()).params.chainId
  const key = await openSigningKey(config, { dataDir, chainId, log: log.child('signer') })
  const bootstrap = await bootstrapOption(config.bootstrap)
  if (!key && bootstrap.length === 0)
    throw new UsageError(`there is no validator's key in ${dataDir}: to follow the network instead, name a peer with --bootstrap MULTIADDR`)
  return startNode({
    dataDir,
    genesis: await genesisOf(),
    key,
    l1: { url: l1, beaconUrls: beaconOption(config.beacon, l1), pollMs: L1_POLL_MS, publicUrl: undefined },
    rpc: rpcOptions(config),
    addressIndex,
    metrics: metricsOptions(config),
    p2p: { host: config['p2p-host'], port: config['p2p-port'], bootstrap },
    poster: posting && poster,
    submitter: posting && submitter,
    challenger,
    posting,
    clientVersion,
    log,
    onFatal,
  })
}

/** Computes at the first call, and gives that again. */
function once<T>(compute: () => Promise<T>): () => Promise<T> {
  let computed: Promise<T> | undefined
  return () => (computed ??= compute())
}

/** Beacon APIs given on the command line, in the order in which they are asked; without them the L1 endpoint itself. */
export function beaconOption(text: string | undefined, l1: string): readonly string[] {
  const urls = (text ?? l1).split(',').filter((url) => url !== '')
  const wrong = urls.find((url) => !URL.canParse(url))
  if (wrong !== undefined) throw new UsageError(`--beacon takes URLs, separated by commas, not ${wrong}`)
  return urls
}

/** An address given on the command line, lowercase. */
export function inboxOption(text: string | undefined): Hex | undefined {
  if (text === undefined) return undefined
  if (!isAddress(text, { strict: false })) throw new UsageError(`--inbox is an address, not ${text}`)
  return text.toLowerCase() as Hex
}

async function bootstrapOption(text: string | undefined): Promise<readonly string[]> {
  const addresses = (text ?? '').split(',').filter((address) => address !== '')
  if (addresses.length === 0) return []
  const { peerIdOf } = await import('../p2p/address.ts')
  const wrong = addresses.find((address) => peerIdOf(address) === undefined)
  if (wrong !== undefined) throw new UsageError(`--bootstrap takes multiaddrs like /ip4/127.0.0.1/tcp/9600/p2p/ID, not ${wrong}`)
  return addresses
}

/** The folder's genesis file, or the one on L1, which is then kept in the folder. */
async function loadGenesis(file: string, { l1, inbox }: { l1: string; inbox: Hex | undefined }): Promise<Genesis> {
  if (existsSync(file)) return decodeGenesis(readFileSync(file, 'utf8'))
  const { findGenesis } = await import('../settlement/l1.ts')
  const published = await findGenesis({ rpcUrl: l1 }, inbox ? { inbox } : {})
  const text = new TextDecoder().decode(published.genesis)
  const genesis = decodeGenesis(text)
  writeFileSync(file, text)
  return genesis
}

/** The account of a key file; undefined where none is named. Throws KeyError. */
export function signerFromFile(file: string | undefined) {
  return file === undefined ? undefined : signerOf(bytesToHex(loadKeyMaterial(file, { create: false })))
}
