/** Clients of a network's node and of its L1 for commands, and what several commands read from the command line. */
import { bytesToHex, createClient, type Hex, http, isAddress, isHash, parseEther, publicActions } from 'viem'
import { type PrivateKeyAccount, privateKeyToAccount } from 'viem/accounts'
import { AMOUNT_MAX_WEI } from '../genesis/params.ts'
import { tributaryActions } from '../rpc/client.ts'
import type { L1Contracts } from '../rpc/l1Actions.ts'
import { UsageError } from './config.ts'
import { loadKeyMaterial } from './keys.ts'

/** Longest that one answer may take. */
const CALL_MAX_MS = 20_000
/** How often it is asked whether something happened. */
export const POLL_MS = 500

/** Where commands say what they did: JSON lines for machines, or a text. */
export type Show = (facts: object, text: string) => void

/** Either of both, as the options say. */
export function createShow({ json }: { readonly json: boolean }, print: (text: string) => void): Show {
  return (facts, text) => print(json ? `${JSON.stringify(facts)}\n` : `${text}\n`)
}

/** A client of the node, which acts for the account if there is one. Asks nothing. */
export function openNode(rpcUrl: string, account?: PrivateKeyAccount) {
  checkUrl('--rpc', rpcUrl)
  return createClient({ transport: http(rpcUrl, { timeout: CALL_MAX_MS }), pollingInterval: POLL_MS, ...(account && { account }) })
    .extend(publicActions)
    .extend(tributaryActions())
}

export type NodeClient = ReturnType<typeof openNode>

/** A client of the L1 that the network settles on. Throws UsageError if nobody says where that is, or if it is another one. */
export async function openL1Client(
  { node, rpcUrl, l1Url }: { readonly node: NodeClient; readonly rpcUrl: string; readonly l1Url: string | undefined },
  account?: PrivateKeyAccount,
) {
  if (l1Url !== undefined) checkUrl('--l1', l1Url)
  const contracts: L1Contracts = await node.getL1Contracts()
  const url = l1Url ?? (await node.getSyncStatus()).l1Url
  if (url === undefined) throw new UsageError(`${rpcUrl} does not say where its L1 can be asked: name it with --l1 URL`)
  const transport = http(url, { timeout: CALL_MAX_MS })
  const client = createClient({ transport, pollingInterval: POLL_MS, ...(account && { account }) }).extend(publicActions)
  const chainId = await client.getChainId()
  if (chainId !== contracts.chainId) throw new UsageError(`${url} is chain ${chainId}; the network settles on chain ${contracts.chainId}`)
  return { client, contracts }
}

/** The account of a key file. Throws UsageError if none is named, and KeyError. */
export function accountOfFile(keyFile: string | undefined): PrivateKeyAccount {
  if (keyFile === undefined) throw new UsageError('--key-file FILE is required')
  return privateKeyToAccount(bytesToHex(loadKeyMaterial(keyFile, { create: false })))
}

/** An amount of OPEN, in wei. Throws UsageError. */
export function amountOption(text: string | undefined): bigint {
  if (text === undefined) throw new UsageError('--amount OPEN is required')
  if (!/^\d{1,11}(\.\d{1,18})?$/.test(text) || parseEther(text) === 0n || parseEther(text) > AMOUNT_MAX_WEI)
    throw new UsageError(`--amount is a number of OPEN above zero, with at most 18 digits behind the point, not ${text}`)
  return parseEther(text)
}

/** An address, lowercase, if one is given. Throws UsageError. */
export function addressOption(name: string, text: string | undefined): Hex | undefined {
  if (text === undefined) return undefined
  if (!isAddress(text)) throw new UsageError(`${name} is an address, not ${text}`)
  return text.toLowerCase() as Hex
}

/** A transaction's hash, lowercase, if one is given. Throws UsageError. */
export function hashOption(name: string, text: string | undefined): Hex | undefined {
  if (text === undefined) return undefined
  if (!isHash(text)) throw new UsageError(`${name} is the hash of a transaction, not ${text}`)
  return text.toLowerCase() as Hex
}

/** A second of L1's or the rollup's clock, for people. */
export function timeText(sec: bigint): string {
  return `${new Date(Number(sec) * 1_000).toISOString().slice(0, 19).replace('T', ' ')} UTC`
}

function checkUrl(name: string, text: string): void {
  if (!URL.canParse(text)) throw new UsageError(`${name} is a URL, not ${text}`)
}
