# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_mxr_global_optspecs
    string join \n h/help V/version
end

function __fish_mxr_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_mxr_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_mxr_using_subcommand
    set -l cmd (__fish_mxr_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c mxr -n "__fish_mxr_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mxr -n "__fish_mxr_needs_command" -s V -l version -d 'Print version'
complete -c mxr -n "__fish_mxr_needs_command" -f -a "serve" -d 'Play the built-in demo, a directory of frames, or a recording'
complete -c mxr -n "__fish_mxr_needs_command" -f -a "watch" -d 'Push a file whenever it changes; for a directory, whichever file in it changed'
complete -c mxr -n "__fish_mxr_needs_command" -f -a "stdin" -d 'Push what arrives on standard input: lines, or concatenated pictures'
complete -c mxr -n "__fish_mxr_needs_command" -f -a "exec" -d 'Push what a command prints, while somebody watches: one process for all viewers'
complete -c mxr -n "__fish_mxr_needs_command" -f -a "relay" -d 'Serve feeds of other machines, each over one connection however many watch: cameras, pictures, other mxr'
complete -c mxr -n "__fish_mxr_needs_command" -f -a "hub" -d 'Serve what others push in over HTTP: curl, ffmpeg, a script, other mxr'
complete -c mxr -n "__fish_mxr_needs_command" -f -a "up" -d 'Serve several feeds of any kind, as a file says'
complete -c mxr -n "__fish_mxr_needs_command" -f -a "record" -d 'Save the parts of feeds of other machines, with their times'
complete -c mxr -n "__fish_mxr_needs_command" -f -a "doctor" -d 'Say what is wrong with a feed or a file, or that nothing is'
complete -c mxr -n "__fish_mxr_needs_command" -f -a "completions" -d 'Print a completion script for a shell'
complete -c mxr -n "__fish_mxr_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c mxr -n "__fish_mxr_using_subcommand serve" -s r -l fps -d 'Frames per second of DIR; in a RECORDING, of parts without a time' -r
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l speed -d 'Play a RECORDING so many times as fast' -r
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l from -d 'Begin a RECORDING with what it showed at this time: 2026-11-29T13:34:00Z, seconds since 1970, +5m from its first part, or -10m before its last' -r
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l to -d 'Play no part of a RECORDING that is later than this time, which is written as for --from' -r
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l idle-limit -d 'Shorten pauses of a RECORDING that are longer than this, before --speed applies; 0 plays it without any pause' -r
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l glob -d 'Only files whose name matches (* ? [a-z] {a,b}, negated by a leading !)' -r
complete -c mxr -n "__fish_mxr_using_subcommand serve" -s t -l type -d 'Media type of every part [default: guessed from the name, else from the content; lines are text/plain]' -r
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l name -d 'What the feed is called, in /stream/NAME, in /state and on the page [default: the name of the file, command or host; stdin; demo]' -r
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l max-fps -d 'At most N parts per second: the newest of each interval, and always the last one' -r
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l max-part -d 'Largest part, such as 512K, 64M, 1G (K is 1024, KB is 1000); longer lines are cut, larger pictures and files are skipped' -r
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l history -d 'Parts kept for viewers that ask for ?history=N, including the newest [default: 1; 10000 for lines]' -r
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l on-stale -d 'Run this when a feed has had no new part for --stale-after, or its source is lost: sh -c CMD, with MXR_FEED, MXR_AGE (seconds) and MXR_REASON in its environment' -r -f -a "(__fish_complete_command)"
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l on-live -d 'Run this in the same way when the feed is live again' -r -f -a "(__fish_complete_command)"
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l stale-after -d 'How long without a new part is stale; an interval that is longer, of --every, --fps or --max-fps, comes on top' -r
complete -c mxr -n "__fish_mxr_using_subcommand serve" -s o -l record -d 'Record every part of all feeds, with its time, to this file, which is continued if it is there; or to files in a directory, if it is one, ends with /, or --segment or --keep is given. What is recorded does not rest' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l segment -d 'Begin a new file in DIR after this time or size, such as 10m or 100MB, from 1s or 64K on [default: a 24th of --keep, else never]' -r
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l keep -d 'Delete files in DIR that are older than this, such as 24h, or the oldest beyond this size, such as 10GB, from 1s or 64K on; only files that mxr has recorded, and never the newest' -r
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l frames -d 'Write each part to a file of its own in this directory, named by time, feed and type' -r -f -a "(__fish_complete_directories)"
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l publish -d 'Push all feeds into this `mxr hub`, over one connection from here, so that they can be seen where this machine cannot be reached; what is published does not rest. The token may stand in the URL as https://any:TOKEN@hub/, and https_proxy is heeded' -r -f
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l publish-name -d 'What the feed is called there; of several feeds the beginning, as in NAME/plot.png [default: as here]' -r
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l publish-token -d 'Show this token to the hub, or this password to the broker; prefer MXR_PUBLISH_TOKEN, since other users of this machine see the command line' -r
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l publish-token-file -d 'Read the token or password from this file; where the URL of a broker has no user, it is USER:PASSWORD' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l publish-ca -d 'Believe the certificates in this file (PEM), of authorities or of the hub or broker itself, in place of the system\'s' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l mqtt-discovery -d 'Announce the pictures that are published to a broker to Home Assistant, by MQTT discovery' -r -f -a "camera\t'A camera'
image\t'An image, which has the time of its last change'"
complete -c mxr -n "__fish_mxr_using_subcommand serve" -s p -l port -d 'Port to listen on; 0 picks a free one' -r
complete -c mxr -n "__fish_mxr_using_subcommand serve" -s H -l host -d 'Address to listen on; beyond loopback a token is generated, unless a secret (--auth, --token, or a file of them) or --public is given' -r
complete -c mxr -n "__fish_mxr_using_subcommand serve" -s U -l unix -d 'Listen on a Unix socket at this path instead, for a proxy on this machine' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l unix-mode -d 'Permissions of the Unix socket, in octal; connecting takes write permission' -r
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l tls-cert -d 'Serve https with the certificates in this file (PEM, the server\'s own first); reloaded when it changes' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l tls-key -d 'Private key of that certificate (PEM); refused if every user of this machine can read it' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand serve" -s m -l max-viewers -d 'Maximum number of viewers at once; further ones get 503' -r
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l max-viewers-per-address -d 'Maximum number of viewers per address (per /64 for IPv6); further ones get 503 [default: as --max-viewers]' -r
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l stall-timeout -d 'Disconnect a viewer that reads nothing for this long: 500ms, 2s, 1m, 1h, or a number of seconds' -r
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l keepalive -d 'Repeat the newest part after this long without a new one, in seconds or as 500ms, 2s, 1m, 1h; 0 disables it' -r
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l history-bytes -d 'Memory for the past parts of all feeds together, without the newest of each; beyond it the oldest go first' -r
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l boundary -d 'Boundary between parts, for readers that expect a certain one [default: random]' -r
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l threads -d 'Spread the viewers over N threads; one serves thousands, more help if it is busy and cores are idle' -r
complete -c mxr -n "__fish_mxr_using_subcommand serve" -s a -l auth -d 'Require this user and password (repeatable); prefer MXR_AUTH, since other users of this machine see the command line' -r
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l auth-file -d 'Require a user and password from this file of lines USER:PASSWORD, or USER:HASH with argon2 or bcrypt (htpasswd -B; it compares 72 bytes of a password)' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l token -d 'Require this token, in the URL as ?token=TOKEN or as a bearer token; without TOKEN, last or before another option, one is generated' -r
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l token-file -d 'Read the token from this file' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l allow-host -d 'Accept this name in the Host header (repeatable; * accepts any) besides localhost, addresses and this machine\'s name' -r
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l allow-origin -d 'Let scripts from this origin read the feed (CORS; repeatable; * allows any)' -r
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l allow-embed -d 'Let pages of other sites, or only of these origins, put the viewer page into a frame; they may show pictures anyway' -r
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l route-prefix -d 'Serve below this path, such as /cam, for a proxy that passes it on' -r
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l log-format -d 'Format of the log' -r -f -a "text\t'One readable line per event'
json\t'One JSON object per line'"
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l demo -d 'Play the built-in demo (the default without DIR)'
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l once -d 'Play once instead of in a loop that all share: frames once for each viewer, a RECORDING once for all, from the first viewer on'
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l follow -d 'After the last frame, wait for new ones instead of starting over'
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l keep-same -d 'Push a part even if it is identical to the one before'
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l publish-insecure -d 'Believe every certificate of an https hub or mqtts broker: whoever is on the way can read and change everything'
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l open -d 'Open the viewer page in the browser (never over SSH)'
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l qr -d 'Show the URL as a QR code on standard error, for a phone'
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l public -d 'Let anyone who can reach the address watch, beyond loopback too'
complete -c mxr -n "__fish_mxr_using_subcommand serve" -l trust-proxy -d 'Trust X-Forwarded-For, -Proto and -Host; only safe if nothing but the proxy can connect'
complete -c mxr -n "__fish_mxr_using_subcommand serve" -s v -l verbose -d 'Log more (-v connections, -vv everything)'
complete -c mxr -n "__fish_mxr_using_subcommand serve" -s q -l quiet -d 'Log less (-q errors and warnings, -qq nothing)'
complete -c mxr -n "__fish_mxr_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l glob -d 'In a directory, only files whose name matches (* ? [a-z] {a,b}, negated by a leading !)' -r
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l tail -d 'Files with such names are logs: a feed of lines each, the last ones first (as many as --history, else 10), then what is appended, like tail -F (repeatable; \'\' for none)' -r
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l window -d 'Make each part of a log a document of its last N lines' -r
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l settle -d 'How long a file must stay unchanged before it is pushed, if its writer was not seen to close it; a plain number is milliseconds' -r
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l poll -d 'Check after each TIME (300ms; a plain number is milliseconds) instead of waiting for events; on network mounts mxr always checks' -r
complete -c mxr -n "__fish_mxr_using_subcommand watch" -s t -l type -d 'Media type of every part [default: guessed from the name, else from the content; lines are text/plain]' -r
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l name -d 'What the feed is called, in /stream/NAME, in /state and on the page [default: the name of the file, command or host; stdin; demo]' -r
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l max-fps -d 'At most N parts per second: the newest of each interval, and always the last one' -r
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l max-part -d 'Largest part, such as 512K, 64M, 1G (K is 1024, KB is 1000); longer lines are cut, larger pictures and files are skipped' -r
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l history -d 'Parts kept for viewers that ask for ?history=N, including the newest [default: 1; 10000 for lines]' -r
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l on-stale -d 'Run this when a feed has had no new part for --stale-after, or its source is lost: sh -c CMD, with MXR_FEED, MXR_AGE (seconds) and MXR_REASON in its environment' -r -f -a "(__fish_complete_command)"
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l on-live -d 'Run this in the same way when the feed is live again' -r -f -a "(__fish_complete_command)"
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l stale-after -d 'How long without a new part is stale; an interval that is longer, of --every, --fps or --max-fps, comes on top' -r
complete -c mxr -n "__fish_mxr_using_subcommand watch" -s o -l record -d 'Record every part of all feeds, with its time, to this file, which is continued if it is there; or to files in a directory, if it is one, ends with /, or --segment or --keep is given. What is recorded does not rest' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l segment -d 'Begin a new file in DIR after this time or size, such as 10m or 100MB, from 1s or 64K on [default: a 24th of --keep, else never]' -r
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l keep -d 'Delete files in DIR that are older than this, such as 24h, or the oldest beyond this size, such as 10GB, from 1s or 64K on; only files that mxr has recorded, and never the newest' -r
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l frames -d 'Write each part to a file of its own in this directory, named by time, feed and type' -r -f -a "(__fish_complete_directories)"
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l publish -d 'Push all feeds into this `mxr hub`, over one connection from here, so that they can be seen where this machine cannot be reached; what is published does not rest. The token may stand in the URL as https://any:TOKEN@hub/, and https_proxy is heeded' -r -f
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l publish-name -d 'What the feed is called there; of several feeds the beginning, as in NAME/plot.png [default: as here]' -r
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l publish-token -d 'Show this token to the hub, or this password to the broker; prefer MXR_PUBLISH_TOKEN, since other users of this machine see the command line' -r
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l publish-token-file -d 'Read the token or password from this file; where the URL of a broker has no user, it is USER:PASSWORD' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l publish-ca -d 'Believe the certificates in this file (PEM), of authorities or of the hub or broker itself, in place of the system\'s' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l mqtt-discovery -d 'Announce the pictures that are published to a broker to Home Assistant, by MQTT discovery' -r -f -a "camera\t'A camera'
image\t'An image, which has the time of its last change'"
complete -c mxr -n "__fish_mxr_using_subcommand watch" -s p -l port -d 'Port to listen on; 0 picks a free one' -r
complete -c mxr -n "__fish_mxr_using_subcommand watch" -s H -l host -d 'Address to listen on; beyond loopback a token is generated, unless a secret (--auth, --token, or a file of them) or --public is given' -r
complete -c mxr -n "__fish_mxr_using_subcommand watch" -s U -l unix -d 'Listen on a Unix socket at this path instead, for a proxy on this machine' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l unix-mode -d 'Permissions of the Unix socket, in octal; connecting takes write permission' -r
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l tls-cert -d 'Serve https with the certificates in this file (PEM, the server\'s own first); reloaded when it changes' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l tls-key -d 'Private key of that certificate (PEM); refused if every user of this machine can read it' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand watch" -s m -l max-viewers -d 'Maximum number of viewers at once; further ones get 503' -r
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l max-viewers-per-address -d 'Maximum number of viewers per address (per /64 for IPv6); further ones get 503 [default: as --max-viewers]' -r
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l stall-timeout -d 'Disconnect a viewer that reads nothing for this long: 500ms, 2s, 1m, 1h, or a number of seconds' -r
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l keepalive -d 'Repeat the newest part after this long without a new one, in seconds or as 500ms, 2s, 1m, 1h; 0 disables it' -r
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l history-bytes -d 'Memory for the past parts of all feeds together, without the newest of each; beyond it the oldest go first' -r
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l boundary -d 'Boundary between parts, for readers that expect a certain one [default: random]' -r
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l threads -d 'Spread the viewers over N threads; one serves thousands, more help if it is busy and cores are idle' -r
complete -c mxr -n "__fish_mxr_using_subcommand watch" -s a -l auth -d 'Require this user and password (repeatable); prefer MXR_AUTH, since other users of this machine see the command line' -r
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l auth-file -d 'Require a user and password from this file of lines USER:PASSWORD, or USER:HASH with argon2 or bcrypt (htpasswd -B; it compares 72 bytes of a password)' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l token -d 'Require this token, in the URL as ?token=TOKEN or as a bearer token; without TOKEN, last or before another option, one is generated' -r
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l token-file -d 'Read the token from this file' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l allow-host -d 'Accept this name in the Host header (repeatable; * accepts any) besides localhost, addresses and this machine\'s name' -r
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l allow-origin -d 'Let scripts from this origin read the feed (CORS; repeatable; * allows any)' -r
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l allow-embed -d 'Let pages of other sites, or only of these origins, put the viewer page into a frame; they may show pictures anyway' -r
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l route-prefix -d 'Serve below this path, such as /cam, for a proxy that passes it on' -r
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l log-format -d 'Format of the log' -r -f -a "text\t'One readable line per event'
json\t'One JSON object per line'"
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l keep-same -d 'Push a part even if it is identical to the one before'
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l publish-insecure -d 'Believe every certificate of an https hub or mqtts broker: whoever is on the way can read and change everything'
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l open -d 'Open the viewer page in the browser (never over SSH)'
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l qr -d 'Show the URL as a QR code on standard error, for a phone'
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l public -d 'Let anyone who can reach the address watch, beyond loopback too'
complete -c mxr -n "__fish_mxr_using_subcommand watch" -l trust-proxy -d 'Trust X-Forwarded-For, -Proto and -Host; only safe if nothing but the proxy can connect'
complete -c mxr -n "__fish_mxr_using_subcommand watch" -s v -l verbose -d 'Log more (-v connections, -vv everything)'
complete -c mxr -n "__fish_mxr_using_subcommand watch" -s q -l quiet -d 'Log less (-q errors and warnings, -qq nothing)'
complete -c mxr -n "__fish_mxr_using_subcommand watch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l split -d 'Where a part ends: auto, lines, nul, blank (empty lines), jpeg, png, multipart, or a SEPARATOR such as \'\\n---\\n\' or \'\\x1e\'; auto recognizes pictures, multipart, SVG and HTML, cuts documents of --type at their ends, and takes anything else for lines' -r -f -a "auto\t'by the first bytes'
lines\t'at line ends'
nul\t'at NUL, as of find -print0'
blank\t'at empty lines'
jpeg\t'at the end of a JPEG'
png\t'at the end of a PNG'
multipart\t'at the delimiters of a multipart stream'"
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l window -d 'Make each part a document of the last N lines' -r
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l screen -d 'Write the input to a terminal that mxr emulates, of 80x24 cells or COLSxROWS; the part is what stands on its screen, with its colours, at most 30 a second' -r
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -s t -l type -d 'Media type of every part [default: guessed from the name, else from the content; lines are text/plain]' -r
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l name -d 'What the feed is called, in /stream/NAME, in /state and on the page [default: the name of the file, command or host; stdin; demo]' -r
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l max-fps -d 'At most N parts per second: the newest of each interval, and always the last one' -r
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l max-part -d 'Largest part, such as 512K, 64M, 1G (K is 1024, KB is 1000); longer lines are cut, larger pictures and files are skipped' -r
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l history -d 'Parts kept for viewers that ask for ?history=N, including the newest [default: 1; 10000 for lines]' -r
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l on-stale -d 'Run this when a feed has had no new part for --stale-after, or its source is lost: sh -c CMD, with MXR_FEED, MXR_AGE (seconds) and MXR_REASON in its environment' -r -f -a "(__fish_complete_command)"
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l on-live -d 'Run this in the same way when the feed is live again' -r -f -a "(__fish_complete_command)"
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l stale-after -d 'How long without a new part is stale; an interval that is longer, of --every, --fps or --max-fps, comes on top' -r
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -s o -l record -d 'Record every part of all feeds, with its time, to this file, which is continued if it is there; or to files in a directory, if it is one, ends with /, or --segment or --keep is given. What is recorded does not rest' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l segment -d 'Begin a new file in DIR after this time or size, such as 10m or 100MB, from 1s or 64K on [default: a 24th of --keep, else never]' -r
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l keep -d 'Delete files in DIR that are older than this, such as 24h, or the oldest beyond this size, such as 10GB, from 1s or 64K on; only files that mxr has recorded, and never the newest' -r
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l frames -d 'Write each part to a file of its own in this directory, named by time, feed and type' -r -f -a "(__fish_complete_directories)"
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l publish -d 'Push all feeds into this `mxr hub`, over one connection from here, so that they can be seen where this machine cannot be reached; what is published does not rest. The token may stand in the URL as https://any:TOKEN@hub/, and https_proxy is heeded' -r -f
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l publish-name -d 'What the feed is called there; of several feeds the beginning, as in NAME/plot.png [default: as here]' -r
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l publish-token -d 'Show this token to the hub, or this password to the broker; prefer MXR_PUBLISH_TOKEN, since other users of this machine see the command line' -r
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l publish-token-file -d 'Read the token or password from this file; where the URL of a broker has no user, it is USER:PASSWORD' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l publish-ca -d 'Believe the certificates in this file (PEM), of authorities or of the hub or broker itself, in place of the system\'s' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l mqtt-discovery -d 'Announce the pictures that are published to a broker to Home Assistant, by MQTT discovery' -r -f -a "camera\t'A camera'
image\t'An image, which has the time of its last change'"
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -s p -l port -d 'Port to listen on; 0 picks a free one' -r
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -s H -l host -d 'Address to listen on; beyond loopback a token is generated, unless a secret (--auth, --token, or a file of them) or --public is given' -r
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -s U -l unix -d 'Listen on a Unix socket at this path instead, for a proxy on this machine' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l unix-mode -d 'Permissions of the Unix socket, in octal; connecting takes write permission' -r
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l tls-cert -d 'Serve https with the certificates in this file (PEM, the server\'s own first); reloaded when it changes' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l tls-key -d 'Private key of that certificate (PEM); refused if every user of this machine can read it' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -s m -l max-viewers -d 'Maximum number of viewers at once; further ones get 503' -r
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l max-viewers-per-address -d 'Maximum number of viewers per address (per /64 for IPv6); further ones get 503 [default: as --max-viewers]' -r
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l stall-timeout -d 'Disconnect a viewer that reads nothing for this long: 500ms, 2s, 1m, 1h, or a number of seconds' -r
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l keepalive -d 'Repeat the newest part after this long without a new one, in seconds or as 500ms, 2s, 1m, 1h; 0 disables it' -r
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l history-bytes -d 'Memory for the past parts of all feeds together, without the newest of each; beyond it the oldest go first' -r
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l boundary -d 'Boundary between parts, for readers that expect a certain one [default: random]' -r
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l threads -d 'Spread the viewers over N threads; one serves thousands, more help if it is busy and cores are idle' -r
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -s a -l auth -d 'Require this user and password (repeatable); prefer MXR_AUTH, since other users of this machine see the command line' -r
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l auth-file -d 'Require a user and password from this file of lines USER:PASSWORD, or USER:HASH with argon2 or bcrypt (htpasswd -B; it compares 72 bytes of a password)' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l token -d 'Require this token, in the URL as ?token=TOKEN or as a bearer token; without TOKEN, last or before another option, one is generated' -r
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l token-file -d 'Read the token from this file' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l allow-host -d 'Accept this name in the Host header (repeatable; * accepts any) besides localhost, addresses and this machine\'s name' -r
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l allow-origin -d 'Let scripts from this origin read the feed (CORS; repeatable; * allows any)' -r
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l allow-embed -d 'Let pages of other sites, or only of these origins, put the viewer page into a frame; they may show pictures anyway' -r
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l route-prefix -d 'Serve below this path, such as /cam, for a proxy that passes it on' -r
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l log-format -d 'Format of the log' -r -f -a "text\t'One readable line per event'
json\t'One JSON object per line'"
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l tee -d 'Also copy the input to standard output, after the URLs; if nobody reads that, the input waits after 16 MiB'
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l exit-on-eof -d 'Exit when the input has ended and viewers have its last parts, instead of serving them until Ctrl-C'
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l keep-same -d 'Push a part even if it is identical to the one before'
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l publish-insecure -d 'Believe every certificate of an https hub or mqtts broker: whoever is on the way can read and change everything'
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l open -d 'Open the viewer page in the browser (never over SSH)'
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l qr -d 'Show the URL as a QR code on standard error, for a phone'
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l public -d 'Let anyone who can reach the address watch, beyond loopback too'
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -l trust-proxy -d 'Trust X-Forwarded-For, -Proto and -Host; only safe if nothing but the proxy can connect'
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -s v -l verbose -d 'Log more (-v connections, -vv everything)'
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -s q -l quiet -d 'Log less (-q errors and warnings, -qq nothing)'
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l split -d 'Where a part of its standard output ends: auto, lines, nul, blank (empty lines), jpeg, png, multipart, or a SEPARATOR such as \'\\n---\\n\' or \'\\x1e\', as for `mxr stdin`' -r -f -a "auto\t'by the first bytes'
lines\t'at line ends'
nul\t'at NUL, as of find -print0'
blank\t'at empty lines'
jpeg\t'at the end of a JPEG'
png\t'at the end of a PNG'
multipart\t'at the delimiters of a multipart stream'"
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l window -d 'Make each part a document of the last N lines' -r
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l every -d 'Run the command to its end every TIME (seconds without a unit), and make its whole output one part: text with its colours, JSON, a picture; an output that did not change is not pushed' -r
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l when -d 'Run the command to its end once, and again whenever one of these files has changed and is whole (of a directory, whichever file in it); its whole output is one part. `--` ends the list' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l output -d 'Push this file after each run of --every or --when, in place of the output of the command' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l timeout -d 'End a run of --every or --when that takes longer than this' -r
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l screen -d 'Run the command in a terminal that mxr emulates, of 80x24 cells or COLSxROWS; the part is what stands on its screen, with its colours, at most 30 a second' -r
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l stderr -d 'Where its standard error goes' -r -f -a "inherit\t'To the standard error of mxr'
merge\t'Into the feed, with the standard output'
feed\t'Into a second feed of lines, NAME-stderr'"
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l restart -d 'Whether to start the command again when it ends by itself, after a pause of 1 second that doubles up to a minute (from 1 second again after a run of 10 seconds); it is never started while nobody watches' -r -f -a "no\t'Never: the feed ends, and its last parts stay'
on-failure\t'Unless its exit status is 0'
always\t'Always'"
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l linger -d 'How long the command goes on after the last viewer has left; a snapshot counts as a viewer' -r
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l kill-after -d 'How long the command has to end after SIGTERM, before SIGKILL; both are for all processes that it started' -r
complete -c mxr -n "__fish_mxr_using_subcommand exec" -s t -l type -d 'Media type of every part [default: guessed from the name, else from the content; lines are text/plain]' -r
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l name -d 'What the feed is called, in /stream/NAME, in /state and on the page [default: the name of the file, command or host; stdin; demo]' -r
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l max-fps -d 'At most N parts per second: the newest of each interval, and always the last one' -r
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l max-part -d 'Largest part, such as 512K, 64M, 1G (K is 1024, KB is 1000); longer lines are cut, larger pictures and files are skipped' -r
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l history -d 'Parts kept for viewers that ask for ?history=N, including the newest [default: 1; 10000 for lines]' -r
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l on-stale -d 'Run this when a feed has had no new part for --stale-after, or its source is lost: sh -c CMD, with MXR_FEED, MXR_AGE (seconds) and MXR_REASON in its environment' -r -f -a "(__fish_complete_command)"
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l on-live -d 'Run this in the same way when the feed is live again' -r -f -a "(__fish_complete_command)"
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l stale-after -d 'How long without a new part is stale; an interval that is longer, of --every, --fps or --max-fps, comes on top' -r
complete -c mxr -n "__fish_mxr_using_subcommand exec" -s o -l record -d 'Record every part of all feeds, with its time, to this file, which is continued if it is there; or to files in a directory, if it is one, ends with /, or --segment or --keep is given. What is recorded does not rest' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l segment -d 'Begin a new file in DIR after this time or size, such as 10m or 100MB, from 1s or 64K on [default: a 24th of --keep, else never]' -r
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l keep -d 'Delete files in DIR that are older than this, such as 24h, or the oldest beyond this size, such as 10GB, from 1s or 64K on; only files that mxr has recorded, and never the newest' -r
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l frames -d 'Write each part to a file of its own in this directory, named by time, feed and type' -r -f -a "(__fish_complete_directories)"
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l publish -d 'Push all feeds into this `mxr hub`, over one connection from here, so that they can be seen where this machine cannot be reached; what is published does not rest. The token may stand in the URL as https://any:TOKEN@hub/, and https_proxy is heeded' -r -f
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l publish-name -d 'What the feed is called there; of several feeds the beginning, as in NAME/plot.png [default: as here]' -r
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l publish-token -d 'Show this token to the hub, or this password to the broker; prefer MXR_PUBLISH_TOKEN, since other users of this machine see the command line' -r
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l publish-token-file -d 'Read the token or password from this file; where the URL of a broker has no user, it is USER:PASSWORD' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l publish-ca -d 'Believe the certificates in this file (PEM), of authorities or of the hub or broker itself, in place of the system\'s' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l mqtt-discovery -d 'Announce the pictures that are published to a broker to Home Assistant, by MQTT discovery' -r -f -a "camera\t'A camera'
image\t'An image, which has the time of its last change'"
complete -c mxr -n "__fish_mxr_using_subcommand exec" -s p -l port -d 'Port to listen on; 0 picks a free one' -r
complete -c mxr -n "__fish_mxr_using_subcommand exec" -s H -l host -d 'Address to listen on; beyond loopback a token is generated, unless a secret (--auth, --token, or a file of them) or --public is given' -r
complete -c mxr -n "__fish_mxr_using_subcommand exec" -s U -l unix -d 'Listen on a Unix socket at this path instead, for a proxy on this machine' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l unix-mode -d 'Permissions of the Unix socket, in octal; connecting takes write permission' -r
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l tls-cert -d 'Serve https with the certificates in this file (PEM, the server\'s own first); reloaded when it changes' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l tls-key -d 'Private key of that certificate (PEM); refused if every user of this machine can read it' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand exec" -s m -l max-viewers -d 'Maximum number of viewers at once; further ones get 503' -r
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l max-viewers-per-address -d 'Maximum number of viewers per address (per /64 for IPv6); further ones get 503 [default: as --max-viewers]' -r
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l stall-timeout -d 'Disconnect a viewer that reads nothing for this long: 500ms, 2s, 1m, 1h, or a number of seconds' -r
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l keepalive -d 'Repeat the newest part after this long without a new one, in seconds or as 500ms, 2s, 1m, 1h; 0 disables it' -r
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l history-bytes -d 'Memory for the past parts of all feeds together, without the newest of each; beyond it the oldest go first' -r
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l boundary -d 'Boundary between parts, for readers that expect a certain one [default: random]' -r
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l threads -d 'Spread the viewers over N threads; one serves thousands, more help if it is busy and cores are idle' -r
complete -c mxr -n "__fish_mxr_using_subcommand exec" -s a -l auth -d 'Require this user and password (repeatable); prefer MXR_AUTH, since other users of this machine see the command line' -r
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l auth-file -d 'Require a user and password from this file of lines USER:PASSWORD, or USER:HASH with argon2 or bcrypt (htpasswd -B; it compares 72 bytes of a password)' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l token -d 'Require this token, in the URL as ?token=TOKEN or as a bearer token; without TOKEN, last or before another option, one is generated' -r
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l token-file -d 'Read the token from this file' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l allow-host -d 'Accept this name in the Host header (repeatable; * accepts any) besides localhost, addresses and this machine\'s name' -r
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l allow-origin -d 'Let scripts from this origin read the feed (CORS; repeatable; * allows any)' -r
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l allow-embed -d 'Let pages of other sites, or only of these origins, put the viewer page into a frame; they may show pictures anyway' -r
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l route-prefix -d 'Serve below this path, such as /cam, for a proxy that passes it on' -r
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l log-format -d 'Format of the log' -r -f -a "text\t'One readable line per event'
json\t'One JSON object per line'"
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l pty -d 'Let the command see a terminal of 80x24 instead of a pipe, so that it prints line by line and in colour'
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l always -d 'Start the command at once, and keep it running while nobody watches'
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l keep-same -d 'Push a part even if it is identical to the one before'
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l publish-insecure -d 'Believe every certificate of an https hub or mqtts broker: whoever is on the way can read and change everything'
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l open -d 'Open the viewer page in the browser (never over SSH)'
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l qr -d 'Show the URL as a QR code on standard error, for a phone'
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l public -d 'Let anyone who can reach the address watch, beyond loopback too'
complete -c mxr -n "__fish_mxr_using_subcommand exec" -l trust-proxy -d 'Trust X-Forwarded-For, -Proto and -Host; only safe if nothing but the proxy can connect'
complete -c mxr -n "__fish_mxr_using_subcommand exec" -s v -l verbose -d 'Log more (-v connections, -vv everything)'
complete -c mxr -n "__fish_mxr_using_subcommand exec" -s q -l quiet -d 'Log less (-q errors and warnings, -qq nothing)'
complete -c mxr -n "__fish_mxr_using_subcommand exec" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l every -d 'Ask for a plain picture or document again after this time; while it stays the same, nothing is pushed' -r
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l linger -d 'How long an upstream is read after the last viewer has left; a snapshot counts as a viewer' -r
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l upstream-auth-file -d 'Read user and password for the upstream from this file, a line USER:PASSWORD; other users of this machine see the command line' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l upstream-header -d 'Send this header to the upstream, or with @FILE those in a file, one a line (repeatable); a secret belongs in a file or in MXR_UPSTREAM_HEADER' -r
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l upstream-ca -d 'Believe the certificates in this file (PEM), of authorities or of the upstream itself, in place of the system\'s' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l upstream-unix -d 'Connect to this Unix socket, whatever host the URL names' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l upstream-timeout -d 'Give a connection up, and make a new one, after this long without a byte or without a whole part' -r
complete -c mxr -n "__fish_mxr_using_subcommand relay" -s t -l type -d 'Media type of every part [default: guessed from the name, else from the content; lines are text/plain]' -r
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l name -d 'What the feed is called, in /stream/NAME, in /state and on the page [default: the name of the file, command or host; stdin; demo]' -r
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l max-fps -d 'At most N parts per second: the newest of each interval, and always the last one' -r
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l max-part -d 'Largest part, such as 512K, 64M, 1G (K is 1024, KB is 1000); longer lines are cut, larger pictures and files are skipped' -r
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l history -d 'Parts kept for viewers that ask for ?history=N, including the newest [default: 1; 10000 for lines]' -r
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l on-stale -d 'Run this when a feed has had no new part for --stale-after, or its source is lost: sh -c CMD, with MXR_FEED, MXR_AGE (seconds) and MXR_REASON in its environment' -r -f -a "(__fish_complete_command)"
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l on-live -d 'Run this in the same way when the feed is live again' -r -f -a "(__fish_complete_command)"
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l stale-after -d 'How long without a new part is stale; an interval that is longer, of --every, --fps or --max-fps, comes on top' -r
complete -c mxr -n "__fish_mxr_using_subcommand relay" -s o -l record -d 'Record every part of all feeds, with its time, to this file, which is continued if it is there; or to files in a directory, if it is one, ends with /, or --segment or --keep is given. What is recorded does not rest' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l segment -d 'Begin a new file in DIR after this time or size, such as 10m or 100MB, from 1s or 64K on [default: a 24th of --keep, else never]' -r
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l keep -d 'Delete files in DIR that are older than this, such as 24h, or the oldest beyond this size, such as 10GB, from 1s or 64K on; only files that mxr has recorded, and never the newest' -r
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l frames -d 'Write each part to a file of its own in this directory, named by time, feed and type' -r -f -a "(__fish_complete_directories)"
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l publish -d 'Push all feeds into this `mxr hub`, over one connection from here, so that they can be seen where this machine cannot be reached; what is published does not rest. The token may stand in the URL as https://any:TOKEN@hub/, and https_proxy is heeded' -r -f
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l publish-name -d 'What the feed is called there; of several feeds the beginning, as in NAME/plot.png [default: as here]' -r
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l publish-token -d 'Show this token to the hub, or this password to the broker; prefer MXR_PUBLISH_TOKEN, since other users of this machine see the command line' -r
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l publish-token-file -d 'Read the token or password from this file; where the URL of a broker has no user, it is USER:PASSWORD' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l publish-ca -d 'Believe the certificates in this file (PEM), of authorities or of the hub or broker itself, in place of the system\'s' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l mqtt-discovery -d 'Announce the pictures that are published to a broker to Home Assistant, by MQTT discovery' -r -f -a "camera\t'A camera'
image\t'An image, which has the time of its last change'"
complete -c mxr -n "__fish_mxr_using_subcommand relay" -s p -l port -d 'Port to listen on; 0 picks a free one' -r
complete -c mxr -n "__fish_mxr_using_subcommand relay" -s H -l host -d 'Address to listen on; beyond loopback a token is generated, unless a secret (--auth, --token, or a file of them) or --public is given' -r
complete -c mxr -n "__fish_mxr_using_subcommand relay" -s U -l unix -d 'Listen on a Unix socket at this path instead, for a proxy on this machine' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l unix-mode -d 'Permissions of the Unix socket, in octal; connecting takes write permission' -r
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l tls-cert -d 'Serve https with the certificates in this file (PEM, the server\'s own first); reloaded when it changes' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l tls-key -d 'Private key of that certificate (PEM); refused if every user of this machine can read it' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand relay" -s m -l max-viewers -d 'Maximum number of viewers at once; further ones get 503' -r
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l max-viewers-per-address -d 'Maximum number of viewers per address (per /64 for IPv6); further ones get 503 [default: as --max-viewers]' -r
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l stall-timeout -d 'Disconnect a viewer that reads nothing for this long: 500ms, 2s, 1m, 1h, or a number of seconds' -r
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l keepalive -d 'Repeat the newest part after this long without a new one, in seconds or as 500ms, 2s, 1m, 1h; 0 disables it' -r
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l history-bytes -d 'Memory for the past parts of all feeds together, without the newest of each; beyond it the oldest go first' -r
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l boundary -d 'Boundary between parts, for readers that expect a certain one [default: random]' -r
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l threads -d 'Spread the viewers over N threads; one serves thousands, more help if it is busy and cores are idle' -r
complete -c mxr -n "__fish_mxr_using_subcommand relay" -s a -l auth -d 'Require this user and password (repeatable); prefer MXR_AUTH, since other users of this machine see the command line' -r
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l auth-file -d 'Require a user and password from this file of lines USER:PASSWORD, or USER:HASH with argon2 or bcrypt (htpasswd -B; it compares 72 bytes of a password)' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l token -d 'Require this token, in the URL as ?token=TOKEN or as a bearer token; without TOKEN, last or before another option, one is generated' -r
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l token-file -d 'Read the token from this file' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l allow-host -d 'Accept this name in the Host header (repeatable; * accepts any) besides localhost, addresses and this machine\'s name' -r
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l allow-origin -d 'Let scripts from this origin read the feed (CORS; repeatable; * allows any)' -r
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l allow-embed -d 'Let pages of other sites, or only of these origins, put the viewer page into a frame; they may show pictures anyway' -r
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l route-prefix -d 'Serve below this path, such as /cam, for a proxy that passes it on' -r
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l log-format -d 'Format of the log' -r -f -a "text\t'One readable line per event'
json\t'One JSON object per line'"
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l always -d 'Read the upstream at once, and also while nobody watches'
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l upstream-insecure -d 'Believe every certificate of an https upstream: whoever is on the way can read and change everything'
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l keep-same -d 'Push a part even if it is identical to the one before'
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l publish-insecure -d 'Believe every certificate of an https hub or mqtts broker: whoever is on the way can read and change everything'
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l open -d 'Open the viewer page in the browser (never over SSH)'
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l qr -d 'Show the URL as a QR code on standard error, for a phone'
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l public -d 'Let anyone who can reach the address watch, beyond loopback too'
complete -c mxr -n "__fish_mxr_using_subcommand relay" -l trust-proxy -d 'Trust X-Forwarded-For, -Proto and -Host; only safe if nothing but the proxy can connect'
complete -c mxr -n "__fish_mxr_using_subcommand relay" -s v -l verbose -d 'Log more (-v connections, -vv everything)'
complete -c mxr -n "__fish_mxr_using_subcommand relay" -s q -l quiet -d 'Log less (-q errors and warnings, -qq nothing)'
complete -c mxr -n "__fish_mxr_using_subcommand relay" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l allow -d 'Names that feeds may have, as a pattern such as \'lab/*\' (repeatable) [default: any]' -r
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l max-feeds -d 'Most feeds at once; pushing under a further name gets 429' -r
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l expire -d 'Remove a feed that nobody has pushed into for this long; 0 keeps it' -r
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l push-token -d 'Require this token to push; beyond loopback one is generated unless there is one; prefer MXR_PUSH_TOKEN, since other users of this machine see the command line' -r
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l push-token-file -d 'Read tokens to push from this file of lines TOKEN, or TOKEN GLOB for feeds whose names match' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand hub" -s t -l type -d 'Media type of every part [default: guessed from the name, else from the content; lines are text/plain]' -r
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l max-fps -d 'At most N parts per second: the newest of each interval, and always the last one' -r
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l max-part -d 'Largest part, such as 512K, 64M, 1G (K is 1024, KB is 1000); longer lines are cut, larger pictures and files are skipped' -r
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l history -d 'Parts kept for viewers that ask for ?history=N, including the newest [default: 1; 10000 for lines]' -r
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l on-stale -d 'Run this when a feed has had no new part for --stale-after, or its source is lost: sh -c CMD, with MXR_FEED, MXR_AGE (seconds) and MXR_REASON in its environment' -r -f -a "(__fish_complete_command)"
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l on-live -d 'Run this in the same way when the feed is live again' -r -f -a "(__fish_complete_command)"
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l stale-after -d 'How long without a new part is stale; an interval that is longer, of --every, --fps or --max-fps, comes on top' -r
complete -c mxr -n "__fish_mxr_using_subcommand hub" -s o -l record -d 'Record every part of all feeds, with its time, to this file, which is continued if it is there; or to files in a directory, if it is one, ends with /, or --segment or --keep is given. What is recorded does not rest' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l segment -d 'Begin a new file in DIR after this time or size, such as 10m or 100MB, from 1s or 64K on [default: a 24th of --keep, else never]' -r
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l keep -d 'Delete files in DIR that are older than this, such as 24h, or the oldest beyond this size, such as 10GB, from 1s or 64K on; only files that mxr has recorded, and never the newest' -r
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l frames -d 'Write each part to a file of its own in this directory, named by time, feed and type' -r -f -a "(__fish_complete_directories)"
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l publish -d 'Push all feeds into this `mxr hub`, over one connection from here, so that they can be seen where this machine cannot be reached; what is published does not rest. The token may stand in the URL as https://any:TOKEN@hub/, and https_proxy is heeded' -r -f
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l publish-name -d 'What the feed is called there; of several feeds the beginning, as in NAME/plot.png [default: as here]' -r
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l publish-token -d 'Show this token to the hub, or this password to the broker; prefer MXR_PUBLISH_TOKEN, since other users of this machine see the command line' -r
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l publish-token-file -d 'Read the token or password from this file; where the URL of a broker has no user, it is USER:PASSWORD' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l publish-ca -d 'Believe the certificates in this file (PEM), of authorities or of the hub or broker itself, in place of the system\'s' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l mqtt-discovery -d 'Announce the pictures that are published to a broker to Home Assistant, by MQTT discovery' -r -f -a "camera\t'A camera'
image\t'An image, which has the time of its last change'"
complete -c mxr -n "__fish_mxr_using_subcommand hub" -s p -l port -d 'Port to listen on; 0 picks a free one' -r
complete -c mxr -n "__fish_mxr_using_subcommand hub" -s H -l host -d 'Address to listen on; beyond loopback a token is generated, unless a secret (--auth, --token, or a file of them) or --public is given' -r
complete -c mxr -n "__fish_mxr_using_subcommand hub" -s U -l unix -d 'Listen on a Unix socket at this path instead, for a proxy on this machine' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l unix-mode -d 'Permissions of the Unix socket, in octal; connecting takes write permission' -r
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l tls-cert -d 'Serve https with the certificates in this file (PEM, the server\'s own first); reloaded when it changes' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l tls-key -d 'Private key of that certificate (PEM); refused if every user of this machine can read it' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand hub" -s m -l max-viewers -d 'Maximum number of viewers at once; further ones get 503' -r
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l max-viewers-per-address -d 'Maximum number of viewers per address (per /64 for IPv6); further ones get 503 [default: as --max-viewers]' -r
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l keepalive -d 'Repeat the newest part after this long without a new one, in seconds or as 500ms, 2s, 1m, 1h; 0 disables it' -r
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l history-bytes -d 'Memory for the past parts of all feeds together, without the newest of each; beyond it the oldest go first' -r
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l boundary -d 'Boundary between parts, for readers that expect a certain one [default: random]' -r
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l threads -d 'Spread the viewers over N threads; one serves thousands, more help if it is busy and cores are idle' -r
complete -c mxr -n "__fish_mxr_using_subcommand hub" -s a -l auth -d 'Require this user and password (repeatable); prefer MXR_AUTH, since other users of this machine see the command line' -r
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l auth-file -d 'Require a user and password from this file of lines USER:PASSWORD, or USER:HASH with argon2 or bcrypt (htpasswd -B; it compares 72 bytes of a password)' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l token -d 'Require this token, in the URL as ?token=TOKEN or as a bearer token; without TOKEN, last or before another option, one is generated' -r
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l token-file -d 'Read the token from this file' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l allow-host -d 'Accept this name in the Host header (repeatable; * accepts any) besides localhost, addresses and this machine\'s name' -r
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l allow-origin -d 'Let scripts from this origin read the feed (CORS; repeatable; * allows any)' -r
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l allow-embed -d 'Let pages of other sites, or only of these origins, put the viewer page into a frame; they may show pictures anyway' -r
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l route-prefix -d 'Serve below this path, such as /cam, for a proxy that passes it on' -r
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l log-format -d 'Format of the log' -r -f -a "text\t'One readable line per event'
json\t'One JSON object per line'"
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l name -d 'What the feed is called, in /stream/NAME, in /state and on the page [default: the name of the file, command or host; stdin; demo]' -r
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l stall-timeout -d 'Disconnect a viewer that reads nothing, or a pusher that sends nothing, for this long: 500ms, 2s, 1m, 1h, or a number of seconds' -r
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l keep-same -d 'Push a part even if it is identical to the one before'
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l publish-insecure -d 'Believe every certificate of an https hub or mqtts broker: whoever is on the way can read and change everything'
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l open -d 'Open the viewer page in the browser (never over SSH)'
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l qr -d 'Show the URL as a QR code on standard error, for a phone'
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l public -d 'Let anyone who can reach the address watch, beyond loopback too'
complete -c mxr -n "__fish_mxr_using_subcommand hub" -l trust-proxy -d 'Trust X-Forwarded-For, -Proto and -Host; only safe if nothing but the proxy can connect'
complete -c mxr -n "__fish_mxr_using_subcommand hub" -s v -l verbose -d 'Log more (-v connections, -vv everything)'
complete -c mxr -n "__fish_mxr_using_subcommand hub" -s q -l quiet -d 'Log less (-q errors and warnings, -qq nothing)'
complete -c mxr -n "__fish_mxr_using_subcommand hub" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mxr -n "__fish_mxr_using_subcommand up" -l on-stale -d 'Run this when a feed has had no new part for --stale-after, or its source is lost: sh -c CMD, with MXR_FEED, MXR_AGE (seconds) and MXR_REASON in its environment' -r -f -a "(__fish_complete_command)"
complete -c mxr -n "__fish_mxr_using_subcommand up" -l on-live -d 'Run this in the same way when the feed is live again' -r -f -a "(__fish_complete_command)"
complete -c mxr -n "__fish_mxr_using_subcommand up" -l stale-after -d 'How long without a new part is stale; an interval that is longer, of --every, --fps or --max-fps, comes on top' -r
complete -c mxr -n "__fish_mxr_using_subcommand up" -s o -l record -d 'Record every part of all feeds, with its time, to this file, which is continued if it is there; or to files in a directory, if it is one, ends with /, or --segment or --keep is given. What is recorded does not rest' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand up" -l segment -d 'Begin a new file in DIR after this time or size, such as 10m or 100MB, from 1s or 64K on [default: a 24th of --keep, else never]' -r
complete -c mxr -n "__fish_mxr_using_subcommand up" -l keep -d 'Delete files in DIR that are older than this, such as 24h, or the oldest beyond this size, such as 10GB, from 1s or 64K on; only files that mxr has recorded, and never the newest' -r
complete -c mxr -n "__fish_mxr_using_subcommand up" -l frames -d 'Write each part to a file of its own in this directory, named by time, feed and type' -r -f -a "(__fish_complete_directories)"
complete -c mxr -n "__fish_mxr_using_subcommand up" -l publish -d 'Push all feeds into this `mxr hub`, over one connection from here, so that they can be seen where this machine cannot be reached; what is published does not rest. The token may stand in the URL as https://any:TOKEN@hub/, and https_proxy is heeded' -r -f
complete -c mxr -n "__fish_mxr_using_subcommand up" -l publish-name -d 'What the feed is called there; of several feeds the beginning, as in NAME/plot.png [default: as here]' -r
complete -c mxr -n "__fish_mxr_using_subcommand up" -l publish-token -d 'Show this token to the hub, or this password to the broker; prefer MXR_PUBLISH_TOKEN, since other users of this machine see the command line' -r
complete -c mxr -n "__fish_mxr_using_subcommand up" -l publish-token-file -d 'Read the token or password from this file; where the URL of a broker has no user, it is USER:PASSWORD' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand up" -l publish-ca -d 'Believe the certificates in this file (PEM), of authorities or of the hub or broker itself, in place of the system\'s' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand up" -l mqtt-discovery -d 'Announce the pictures that are published to a broker to Home Assistant, by MQTT discovery' -r -f -a "camera\t'A camera'
image\t'An image, which has the time of its last change'"
complete -c mxr -n "__fish_mxr_using_subcommand up" -s p -l port -d 'Port to listen on; 0 picks a free one' -r
complete -c mxr -n "__fish_mxr_using_subcommand up" -s H -l host -d 'Address to listen on; beyond loopback a token is generated, unless a secret (--auth, --token, or a file of them) or --public is given' -r
complete -c mxr -n "__fish_mxr_using_subcommand up" -s U -l unix -d 'Listen on a Unix socket at this path instead, for a proxy on this machine' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand up" -l unix-mode -d 'Permissions of the Unix socket, in octal; connecting takes write permission' -r
complete -c mxr -n "__fish_mxr_using_subcommand up" -l tls-cert -d 'Serve https with the certificates in this file (PEM, the server\'s own first); reloaded when it changes' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand up" -l tls-key -d 'Private key of that certificate (PEM); refused if every user of this machine can read it' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand up" -s m -l max-viewers -d 'Maximum number of viewers at once; further ones get 503' -r
complete -c mxr -n "__fish_mxr_using_subcommand up" -l max-viewers-per-address -d 'Maximum number of viewers per address (per /64 for IPv6); further ones get 503 [default: as --max-viewers]' -r
complete -c mxr -n "__fish_mxr_using_subcommand up" -l stall-timeout -d 'Disconnect a viewer that reads nothing for this long: 500ms, 2s, 1m, 1h, or a number of seconds' -r
complete -c mxr -n "__fish_mxr_using_subcommand up" -l keepalive -d 'Repeat the newest part after this long without a new one, in seconds or as 500ms, 2s, 1m, 1h; 0 disables it' -r
complete -c mxr -n "__fish_mxr_using_subcommand up" -l history-bytes -d 'Memory for the past parts of all feeds together, without the newest of each; beyond it the oldest go first' -r
complete -c mxr -n "__fish_mxr_using_subcommand up" -l boundary -d 'Boundary between parts, for readers that expect a certain one [default: random]' -r
complete -c mxr -n "__fish_mxr_using_subcommand up" -l threads -d 'Spread the viewers over N threads; one serves thousands, more help if it is busy and cores are idle' -r
complete -c mxr -n "__fish_mxr_using_subcommand up" -s a -l auth -d 'Require this user and password (repeatable); prefer MXR_AUTH, since other users of this machine see the command line' -r
complete -c mxr -n "__fish_mxr_using_subcommand up" -l auth-file -d 'Require a user and password from this file of lines USER:PASSWORD, or USER:HASH with argon2 or bcrypt (htpasswd -B; it compares 72 bytes of a password)' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand up" -l token -d 'Require this token, in the URL as ?token=TOKEN or as a bearer token; without TOKEN, last or before another option, one is generated' -r
complete -c mxr -n "__fish_mxr_using_subcommand up" -l token-file -d 'Read the token from this file' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand up" -l allow-host -d 'Accept this name in the Host header (repeatable; * accepts any) besides localhost, addresses and this machine\'s name' -r
complete -c mxr -n "__fish_mxr_using_subcommand up" -l allow-origin -d 'Let scripts from this origin read the feed (CORS; repeatable; * allows any)' -r
complete -c mxr -n "__fish_mxr_using_subcommand up" -l allow-embed -d 'Let pages of other sites, or only of these origins, put the viewer page into a frame; they may show pictures anyway' -r
complete -c mxr -n "__fish_mxr_using_subcommand up" -l route-prefix -d 'Serve below this path, such as /cam, for a proxy that passes it on' -r
complete -c mxr -n "__fish_mxr_using_subcommand up" -l log-format -d 'Format of the log' -r -f -a "text\t'One readable line per event'
json\t'One JSON object per line'"
complete -c mxr -n "__fish_mxr_using_subcommand up" -l check -d 'Say what is wrong in the file, or that nothing is, and exit'
complete -c mxr -n "__fish_mxr_using_subcommand up" -l publish-insecure -d 'Believe every certificate of an https hub or mqtts broker: whoever is on the way can read and change everything'
complete -c mxr -n "__fish_mxr_using_subcommand up" -l open -d 'Open the viewer page in the browser (never over SSH)'
complete -c mxr -n "__fish_mxr_using_subcommand up" -l qr -d 'Show the URL as a QR code on standard error, for a phone'
complete -c mxr -n "__fish_mxr_using_subcommand up" -l public -d 'Let anyone who can reach the address watch, beyond loopback too'
complete -c mxr -n "__fish_mxr_using_subcommand up" -l trust-proxy -d 'Trust X-Forwarded-For, -Proto and -Host; only safe if nothing but the proxy can connect'
complete -c mxr -n "__fish_mxr_using_subcommand up" -s v -l verbose -d 'Log more (-v connections, -vv everything)'
complete -c mxr -n "__fish_mxr_using_subcommand up" -s q -l quiet -d 'Log less (-q errors and warnings, -qq nothing)'
complete -c mxr -n "__fish_mxr_using_subcommand up" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mxr -n "__fish_mxr_using_subcommand record" -l for -d 'End after this time' -r
complete -c mxr -n "__fish_mxr_using_subcommand record" -l every -d 'Ask for a plain picture or document again after this time; while it stays the same, nothing is recorded' -r
complete -c mxr -n "__fish_mxr_using_subcommand record" -l name -d 'What the feed is called [default: the name of the host]' -r
complete -c mxr -n "__fish_mxr_using_subcommand record" -l max-part -d 'Largest part, such as 512K, 64M, 1G (K is 1024, KB is 1000); longer lines are cut, larger parts are skipped' -r
complete -c mxr -n "__fish_mxr_using_subcommand record" -s o -l record -d 'Record every part of all feeds, with its time, to this file, which is continued if it is there; or to files in a directory, if it is one, ends with /, or --segment or --keep is given. What is recorded does not rest' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand record" -l segment -d 'Begin a new file in DIR after this time or size, such as 10m or 100MB, from 1s or 64K on [default: a 24th of --keep, else never]' -r
complete -c mxr -n "__fish_mxr_using_subcommand record" -l keep -d 'Delete files in DIR that are older than this, such as 24h, or the oldest beyond this size, such as 10GB, from 1s or 64K on; only files that mxr has recorded, and never the newest' -r
complete -c mxr -n "__fish_mxr_using_subcommand record" -l frames -d 'Write each part to a file of its own in this directory, named by time, feed and type' -r -f -a "(__fish_complete_directories)"
complete -c mxr -n "__fish_mxr_using_subcommand record" -l upstream-auth-file -d 'Read user and password for the upstream from this file, a line USER:PASSWORD; other users of this machine see the command line' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand record" -l upstream-header -d 'Send this header to the upstream, or with @FILE those in a file, one a line (repeatable); a secret belongs in a file or in MXR_UPSTREAM_HEADER' -r
complete -c mxr -n "__fish_mxr_using_subcommand record" -l upstream-ca -d 'Believe the certificates in this file (PEM), of authorities or of the upstream itself, in place of the system\'s' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand record" -l upstream-unix -d 'Connect to this Unix socket, whatever host the URL names' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand record" -l upstream-timeout -d 'Give a connection up, and make a new one, after this long without a byte or without a whole part' -r
complete -c mxr -n "__fish_mxr_using_subcommand record" -l log-format -d 'Format of the log' -r -f -a "text\t'One readable line per event'
json\t'One JSON object per line'"
complete -c mxr -n "__fish_mxr_using_subcommand record" -l upstream-insecure -d 'Believe every certificate of an https upstream: whoever is on the way can read and change everything'
complete -c mxr -n "__fish_mxr_using_subcommand record" -s v -l verbose -d 'Log more (-v connections, -vv everything)'
complete -c mxr -n "__fish_mxr_using_subcommand record" -s q -l quiet -d 'Log less (-q errors and warnings, -qq nothing)'
complete -c mxr -n "__fish_mxr_using_subcommand record" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mxr -n "__fish_mxr_using_subcommand doctor" -l for -d 'How long to read a feed' -r
complete -c mxr -n "__fish_mxr_using_subcommand doctor" -l upstream-auth-file -d 'Read user and password for the upstream from this file, a line USER:PASSWORD; other users of this machine see the command line' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand doctor" -l upstream-header -d 'Send this header to the upstream, or with @FILE those in a file, one a line (repeatable); a secret belongs in a file or in MXR_UPSTREAM_HEADER' -r
complete -c mxr -n "__fish_mxr_using_subcommand doctor" -l upstream-ca -d 'Believe the certificates in this file (PEM), of authorities or of the upstream itself, in place of the system\'s' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand doctor" -l upstream-unix -d 'Connect to this Unix socket, whatever host the URL names' -r -F
complete -c mxr -n "__fish_mxr_using_subcommand doctor" -l upstream-timeout -d 'Give a connection up, and make a new one, after this long without a byte or without a whole part' -r
complete -c mxr -n "__fish_mxr_using_subcommand doctor" -l json -d 'Print JSON, whose schema docs/doctor.md states'
complete -c mxr -n "__fish_mxr_using_subcommand doctor" -l upstream-insecure -d 'Believe every certificate of an https upstream: whoever is on the way can read and change everything'
complete -c mxr -n "__fish_mxr_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c mxr -n "__fish_mxr_using_subcommand completions" -s h -l help -d 'Print help'
complete -c mxr -n "__fish_mxr_using_subcommand help; and not __fish_seen_subcommand_from serve watch stdin exec relay hub up record doctor completions help" -f -a "serve" -d 'Play the built-in demo, a directory of frames, or a recording'
complete -c mxr -n "__fish_mxr_using_subcommand help; and not __fish_seen_subcommand_from serve watch stdin exec relay hub up record doctor completions help" -f -a "watch" -d 'Push a file whenever it changes; for a directory, whichever file in it changed'
complete -c mxr -n "__fish_mxr_using_subcommand help; and not __fish_seen_subcommand_from serve watch stdin exec relay hub up record doctor completions help" -f -a "stdin" -d 'Push what arrives on standard input: lines, or concatenated pictures'
complete -c mxr -n "__fish_mxr_using_subcommand help; and not __fish_seen_subcommand_from serve watch stdin exec relay hub up record doctor completions help" -f -a "exec" -d 'Push what a command prints, while somebody watches: one process for all viewers'
complete -c mxr -n "__fish_mxr_using_subcommand help; and not __fish_seen_subcommand_from serve watch stdin exec relay hub up record doctor completions help" -f -a "relay" -d 'Serve feeds of other machines, each over one connection however many watch: cameras, pictures, other mxr'
complete -c mxr -n "__fish_mxr_using_subcommand help; and not __fish_seen_subcommand_from serve watch stdin exec relay hub up record doctor completions help" -f -a "hub" -d 'Serve what others push in over HTTP: curl, ffmpeg, a script, other mxr'
complete -c mxr -n "__fish_mxr_using_subcommand help; and not __fish_seen_subcommand_from serve watch stdin exec relay hub up record doctor completions help" -f -a "up" -d 'Serve several feeds of any kind, as a file says'
complete -c mxr -n "__fish_mxr_using_subcommand help; and not __fish_seen_subcommand_from serve watch stdin exec relay hub up record doctor completions help" -f -a "record" -d 'Save the parts of feeds of other machines, with their times'
complete -c mxr -n "__fish_mxr_using_subcommand help; and not __fish_seen_subcommand_from serve watch stdin exec relay hub up record doctor completions help" -f -a "doctor" -d 'Say what is wrong with a feed or a file, or that nothing is'
complete -c mxr -n "__fish_mxr_using_subcommand help; and not __fish_seen_subcommand_from serve watch stdin exec relay hub up record doctor completions help" -f -a "completions" -d 'Print a completion script for a shell'
complete -c mxr -n "__fish_mxr_using_subcommand help; and not __fish_seen_subcommand_from serve watch stdin exec relay hub up record doctor completions help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c mxr -n "__fish_mxr_using_subcommand stdin" -f
complete -c mxr -n "__fish_mxr_using_subcommand hub" -f
complete -c mxr -n "__fish_mxr_using_subcommand completions" -f -a "bash elvish fish powershell zsh"
complete -c mxr -n "__fish_mxr_using_subcommand help" -f -a "serve watch stdin exec relay hub up record doctor completions"
