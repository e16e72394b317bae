'use strict'
// The name of the addon for this platform.

/** The C library: gnu or musl. */
function libc () {
  const report = process.report
  const before = report.excludeNetwork
  // Otherwise the report looks up the names of open connections.
  report.excludeNetwork = true
  try {
    return report.getReport().header.glibcVersionRuntime ? 'gnu' : 'musl'
  } finally {
    report.excludeNetwork = before
  }
}

function platform () {
  return `${process.platform}-${process.arch}${process.platform === 'linux' ? `-${libc()}` : ''}`
}

function file () {
  return `tendmap.${platform()}.node`
}

module.exports = { file, platform }
