/** Methods of Ethereum's that make no sense here, and why: whoever asks is told. Spec: docs/spec/rpc.md#eth */

const NO_KEYS = 'the node holds no keys of its users: sign in a wallet'
const NO_MINING = 'blocks are made by validators, not mined'
const NO_ACCESS_LISTS = 'blocks have no access lists (EIP-7928)'
const NO_ENGINE = 'consensus is part of the node'

const REASONS: Readonly<Record<string, string>> = {
  eth_sign: NO_KEYS,
  eth_signTransaction: NO_KEYS,
  eth_signTypedData: NO_KEYS,
  eth_sendTransaction: NO_KEYS,
  personal_sign: NO_KEYS,
  eth_mining: NO_MINING,
  eth_hashrate: NO_MINING,
  eth_getWork: NO_MINING,
  eth_submitWork: NO_MINING,
  eth_submitHashrate: NO_MINING,
  eth_getUncleByBlockHashAndIndex: 'blocks have no uncles',
  eth_getUncleByBlockNumberAndIndex: 'blocks have no uncles',
  eth_getBlockAccessList: NO_ACCESS_LISTS,
  debug_getRawBlockAccessList: NO_ACCESS_LISTS,
  eth_config: 'forks of this chain are in its genesis file, and there is no fork id (EIP-6122)',
  eth_getCompilers: 'compilers are not part of a node',
  testing_buildBlockV1: 'blocks are built for validators alone',
}

/** What a method answers that is not there. */
export function absentMessage(name: string): string {
  const reason = Object.hasOwn(REASONS, name) ? REASONS[name] : name.startsWith('engine_') ? NO_ENGINE : undefined
  const shown = `the method ${name.slice(0, 100)} does not exist/is not available`
  return reason === undefined ? shown : `${shown}: ${reason}`
}
